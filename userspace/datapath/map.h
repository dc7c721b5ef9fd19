// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tombolo::datapath {

// A map's descriptor and sizes, untyped. Borrows the descriptor. Calls are
// single system calls, so any thread may make them.
class RawMap {
 public:
  RawMap() = default;
  static absl::StatusOr<RawMap> Bind(int fd, std::string name);

  int fd() const { return fd_; }
  const std::string& name() const { return name_; }
  std::uint32_t key_size() const { return key_size_; }
  std::uint32_t value_size() const { return value_size_; }
  std::uint32_t max_entries() const { return max_entries_; }

  absl::Status Lookup(const void* key, void* value) const;
  absl::Status Take(const void* key, void* value) const;  // lookup and delete
  absl::Status Upsert(const void* key, const void* value) const;
  absl::Status Erase(const void* key) const;  // an absent key is OK
  // Calls `visit` with each key and value; a few thousand a system call.
  // Entries that come or go meanwhile may be seen or not.
  absl::Status ForEach(absl::FunctionRef<void(const void* key, const void* value)> visit) const;
  absl::StatusOr<std::uint32_t> Count() const;

 private:
  absl::Status Error(int error, const char* verb) const;

  int fd_ = -1;
  std::string name_;
  std::uint32_t key_size_ = 0;
  std::uint32_t value_size_ = 0;
  std::uint32_t max_entries_ = 0;
};

// The same with types. Not for per-CPU maps.
template <typename Key, typename Value>
class Map {
  static_assert(std::has_unique_object_representations_v<Key>,
                "map keys must have no padding: the kernel hashes every byte");
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  Map() = default;
  static absl::StatusOr<Map> Bind(int fd, std::string name) {
    absl::StatusOr<RawMap> raw = RawMap::Bind(fd, std::move(name));
    if (!raw.ok()) return raw.status();
    if (raw->key_size() != sizeof(Key) || raw->value_size() != sizeof(Value)) {
      return absl::InternalError("map '" + raw->name() + "' has another layout");
    }
    return Map(*std::move(raw));
  }

  const RawMap& raw() const { return raw_; }

  absl::StatusOr<Value> Lookup(const Key& key) const {
    Value value{};
    absl::Status status = raw_.Lookup(&key, &value);
    if (!status.ok()) return status;
    return value;
  }
  absl::StatusOr<Value> Take(const Key& key) const {
    Value value{};
    absl::Status status = raw_.Take(&key, &value);
    if (!status.ok()) return status;
    return value;
  }
  absl::Status Upsert(const Key& key, const Value& value) const {
    return raw_.Upsert(&key, &value);
  }
  absl::Status Erase(const Key& key) const { return raw_.Erase(&key); }

  absl::StatusOr<std::vector<std::pair<Key, Value>>> Entries() const {
    std::vector<std::pair<Key, Value>> entries;
    absl::Status status = raw_.ForEach([&](const void* key, const void* value) {
      entries.emplace_back(*static_cast<const Key*>(key), *static_cast<const Value*>(value));
    });
    if (!status.ok()) return status;
    return entries;
  }

 private:
  explicit Map(RawMap raw) : raw_(std::move(raw)) {}
  RawMap raw_;
};

}  // namespace tombolo::datapath
