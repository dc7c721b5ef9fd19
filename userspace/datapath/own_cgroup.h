// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tombolo::datapath {

// Where cgroup v2 is mounted. FailedPrecondition when it is not.
absl::StatusOr<std::string> CgroupMount();

// The cgroup of this thread, from the root of the hierarchy: "/" or "/a/b".
absl::StatusOr<std::string> OwnCgroup();

// Whether this process is in the cgroup of that directory or below it.
absl::StatusOr<bool> IsOwnCgroupBelow(const std::string& cgroup_path);

}  // namespace tombolo::datapath
