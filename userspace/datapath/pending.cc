// SPDX-License-Identifier: Apache-2.0
#include "datapath/pending.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "base/errno_status.h"

namespace tombolo::datapath {

absl::StatusOr<PendingCounters> PendingCounters::Map(int fd, std::uint32_t slots) {
  PendingCounters counters(nullptr, slots);
  void* memory =
      mmap(nullptr, counters.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, /*offset=*/0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "map 'tb_pending' into memory");
  counters.values_ = static_cast<std::int64_t*>(memory);
  return counters;
}

PendingCounters::PendingCounters(PendingCounters&& other) noexcept
    : values_(std::exchange(other.values_, nullptr)), slots_(other.slots_) {}

PendingCounters::~PendingCounters() {
  if (values_ != nullptr) munmap(values_, bytes());
}

std::int64_t PendingCounters::Read(std::uint32_t slot) const {
  if (slot >= slots_) return 0;
  return std::atomic_ref(values_[slot]).load(std::memory_order_relaxed);
}

void PendingCounters::Release(std::uint32_t slot) {
  if (slot >= slots_) return;
  std::atomic_ref value(values_[slot]);
  std::int64_t seen = value.load(std::memory_order_relaxed);
  while (seen > 0 && !value.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
  }
}

void PendingCounters::Adjust(std::uint32_t slot, std::int64_t change) {
  if (slot < slots_) std::atomic_ref(values_[slot]).fetch_add(change, std::memory_order_relaxed);
}

// The kernel maps whole pages.
std::size_t PendingCounters::bytes() const {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (slots_ * sizeof(std::int64_t) + page - 1) / page * page;
}

}  // namespace tombolo::datapath
