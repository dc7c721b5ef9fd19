// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tombolo::test {

// A cgroup of this test, removed when destroyed. The process must have left it.
// Children go before their parents.
class Cgroup {
 public:
  Cgroup() = default;
  // Directly below the cgroup2 mount, as tombolo-test-<pid>-<name>. Removes what
  // tests that were killed have left there.
  static absl::StatusOr<Cgroup> Create(const std::string& name);
  absl::StatusOr<Cgroup> Child(const std::string& name) const;
  Cgroup(Cgroup&& other) noexcept : path_(std::exchange(other.path_, {})), id_(other.id_) {}
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup() { Remove(); }

  const std::string& path() const { return path_; }
  std::uint64_t id() const { return id_; }
  void Remove();

  // Runs `body` with this process inside, and comes back to where it was. The
  // process must have one thread. Sockets that `body` makes keep the cgroup.
  absl::Status Run(absl::FunctionRef<void()> body) const;

 private:
  static absl::StatusOr<Cgroup> Make(std::string path);

  std::string path_;
  std::uint64_t id_ = 0;
};

}  // namespace tombolo::test
