// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace tombolo::datapath {

// The kernel's tb_pending map in our memory: connections that wait to be taken,
// by workload slot. Any thread may call; the programs change it too.
class PendingCounters {
 public:
  static absl::StatusOr<PendingCounters> Map(int fd, std::uint32_t slots);
  PendingCounters(PendingCounters&& other) noexcept;
  PendingCounters& operator=(PendingCounters&&) = delete;
  ~PendingCounters();

  std::uint32_t slots() const { return slots_; }
  std::int64_t Read(std::uint32_t slot) const;
  // One less, never below zero. A slot out of range is ignored.
  void Release(std::uint32_t slot);
  void Adjust(std::uint32_t slot, std::int64_t change);

 private:
  PendingCounters(std::int64_t* values, std::uint32_t slots) : values_(values), slots_(slots) {}
  std::size_t bytes() const;

  std::int64_t* values_;
  std::uint32_t slots_;
};

}  // namespace tombolo::datapath
