// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tombolo::agent {

// The cgroup v2 hierarchy of this machine, wherever it is mounted: alone at
// /sys/fs/cgroup, or beside v1 at /sys/fs/cgroup/unified.
class Cgroups {
 public:
  // Reads /proc/self/mountinfo. FailedPrecondition when there is no cgroup v2.
  static absl::StatusOr<Cgroups> Find();

  // `path` is below the mount and begins with '/'.
  std::string Absolute(const std::string& path) const;

  // The kernel's id of a cgroup: the inode number of its directory (kernfs), as
  // bpf_get_current_cgroup_id() gives it.
  absl::StatusOr<std::uint64_t> IdOf(const std::string& path) const;
  // Whether a cgroup of that id still exists.
  bool Exists(std::uint64_t id) const;

  // Of this process, below the mount.
  absl::StatusOr<std::string> Own() const;

 private:
  explicit Cgroups(std::string mount) : mount_(std::move(mount)) {}
  std::string mount_;
};

}  // namespace tombolo::agent
