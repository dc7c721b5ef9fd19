// SPDX-License-Identifier: Apache-2.0
#include "datapath/map.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <bpf/bpf.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::datapath {
namespace {

constexpr std::uint32_t kBatch = 4096;

}  // namespace

absl::StatusOr<RawMap> RawMap::Bind(int fd, std::string name) {
  bpf_map_info info{};
  std::uint32_t length = sizeof(info);
  if (const int rc = bpf_obj_get_info_by_fd(fd, &info, &length); rc != 0) {
    return ErrnoStatus(-rc, absl::StrCat("read information of map '", name, "'"));
  }
  RawMap map;
  map.fd_ = fd;
  map.name_ = std::move(name);
  map.key_size_ = info.key_size;
  map.value_size_ = info.value_size;
  map.max_entries_ = info.max_entries;
  return map;
}

absl::Status RawMap::Lookup(const void* key, void* value) const {
  const int rc = bpf_map_lookup_elem(fd_, key, value);
  return rc == 0 ? absl::OkStatus() : Error(-rc, "look up in");
}

absl::Status RawMap::Take(const void* key, void* value) const {
  const int rc = bpf_map_lookup_and_delete_elem(fd_, key, value);
  return rc == 0 ? absl::OkStatus() : Error(-rc, "take from");
}

absl::Status RawMap::Upsert(const void* key, const void* value) const {
  const int rc = bpf_map_update_elem(fd_, key, value, BPF_ANY);
  return rc == 0 ? absl::OkStatus() : Error(-rc, "write to");
}

absl::Status RawMap::Erase(const void* key) const {
  const int rc = bpf_map_delete_elem(fd_, key);
  return rc == 0 || rc == -ENOENT ? absl::OkStatus() : Error(-rc, "erase in");
}

absl::Status RawMap::ForEach(
    absl::FunctionRef<void(const void* key, const void* value)> visit) const {
  // Value storage is 8-byte aligned per element, as the kernel copies it.
  const std::size_t rounds = max_entries_ / 64 + 16;  // bounds the loop if the map keeps changing
  std::vector<std::uint64_t> keys((std::size_t{key_size_} * kBatch + 7) / 8);
  std::vector<std::uint64_t> values((std::size_t{value_size_} * kBatch + 7) / 8);
  std::array<std::uint64_t, 16> position{};  // opaque; a key in tries, 128 bytes are plenty
  for (std::size_t round = 0; round < rounds; ++round) {
    std::uint32_t count = kBatch;
    const int rc = bpf_map_lookup_batch(fd_, round == 0 ? nullptr : position.data(),
                                        position.data(), keys.data(), values.data(), &count,
                                        /*opts=*/nullptr);
    if (rc != 0 && rc != -ENOENT) return Error(-rc, "list");
    const auto* key = reinterpret_cast<const std::uint8_t*>(keys.data());
    const auto* value = reinterpret_cast<const std::uint8_t*>(values.data());
    for (std::uint32_t i = 0; i < count; ++i) {
      visit(key + std::size_t{i} * key_size_, value + std::size_t{i} * value_size_);
    }
    if (rc == -ENOENT) return absl::OkStatus();  // the end
  }
  return absl::UnavailableError(absl::StrCat("list map '", name_, "': it changes too fast"));
}

absl::StatusOr<std::uint32_t> RawMap::Count() const {
  std::uint32_t count = 0;
  RETURN_IF_ERROR(ForEach([&](const void*, const void*) { ++count; }));
  return count;
}

absl::Status RawMap::Error(int error, const char* verb) const {
  return ErrnoStatus(error,
                     absl::StrCat(verb, " map '", name_, "'", error == E2BIG ? " (full)" : ""));
}

}  // namespace tombolo::datapath
