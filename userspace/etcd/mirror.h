// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "etcd/bounds.h"
#include "etcd/messages.h"
#include "etcd/watch.h"

namespace tombolo::etcd {

// Keys without their prefix; no value: gone.
using Changes = std::map<std::string, std::optional<std::string>>;

// What is below a prefix, as it was told. Of one thread.
class Mirror {
 public:
  // `max_bytes` of all that is kept within `bounds`.
  Mirror(std::string prefix, std::size_t max_bytes, Bounds bounds = {})
      : prefix_(std::move(prefix)),
        max_bytes_(max_bytes),
        bounds_(std::move(bounds)),
        account_(bounds_) {}

  // Both return what is different from before. What fails changes nothing.
  absl::StatusOr<Changes> Replace(RangeAnswer listed);  // DataLoss
  // OutOfRange: only a list can tell how it goes on.
  absl::StatusOr<Changes> Apply(Watch::Batch batch);

  // Nothing has happened up to this revision.
  void Advance(std::int64_t revision);

  std::int64_t revision() const { return revision_; }
  std::uint64_t term() const { return term_; }
  std::size_t size() const { return values_.size(); }
  // The key that was changed last and its revision, 0 if it was deleted; no key: nothing
  // is known of any.
  const KeyValue& last() const { return last_; }

 private:
  const std::string prefix_;
  const std::size_t max_bytes_;
  const Bounds bounds_;
  Account account_;                            // of values_
  std::map<std::string, std::string> values_;  // by key, without prefix
  std::size_t bytes_ = 0;
  std::int64_t revision_ = 0;
  std::uint64_t term_ = 0;
  KeyValue last_{};
};

}  // namespace tombolo::etcd
