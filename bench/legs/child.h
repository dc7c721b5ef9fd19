// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "load.h"

namespace tombolo::bench {

// A forked process that does one part of a sample and reports what it took. Destroying it kills
// it, if it still runs, and waits for it.
class Child {
 public:
  // The child's part: calls its argument once when it is ready, which returns when Start() has
  // been called.
  using Part = absl::FunctionRef<absl::StatusOr<Usage>(absl::FunctionRef<void()> ready)>;

  // Forks. `name` is for messages; `patience` is all the time that the part may take.
  static absl::StatusOr<Child> Fork(const char* name, std::chrono::seconds patience, Part part);

  Child(Child&& other) noexcept
      : name_(other.name_), pid_(std::exchange(other.pid_, -1)), pipe_(std::move(other.pipe_)) {}
  Child& operator=(Child&&) = delete;
  ~Child();

  absl::Status AwaitReady();
  absl::Status Start();
  absl::StatusOr<Usage> Finish();

 private:
  Child(const char* name, pid_t pid, Fd pipe) : name_(name), pid_(pid), pipe_(std::move(pipe)) {}

  const char* name_;
  pid_t pid_;
  Fd pipe_;  // a socket pair's end
};

}  // namespace tombolo::bench
