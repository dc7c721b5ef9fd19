// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <utility>

namespace tombolo::agent {

// The newest of what one thread makes for another, which is told of it once and takes it when it
// comes to it: however slow that is, no more than one waits. Any thread may call.
template <typename T>
class Mailbox {
 public:
  // True: there was none, and the taker has to be told.
  bool Put(T value) {
    const std::lock_guard lock(mutex_);
    const bool first = !value_.has_value();
    value_.emplace(std::move(value));
    return first;
  }
  // Once for each Put() that was true.
  T Take() {
    const std::lock_guard lock(mutex_);
    T taken = *std::move(value_);
    value_.reset();
    return taken;
  }

 private:
  std::mutex mutex_;
  std::optional<T> value_;  // guarded by mutex_
};

}  // namespace tombolo::agent
