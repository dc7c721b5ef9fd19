// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tombolo::datapath {

// Whether this process is in the cgroup of that directory or below it.
absl::StatusOr<bool> IsOwnCgroupBelow(const std::string& cgroup_path);

}  // namespace tombolo::datapath
