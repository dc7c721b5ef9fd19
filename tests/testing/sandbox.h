// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tombolo::test {

// A network namespace of its own with `lo` up, and a mount namespace with a BPF
// file system of its own, for the rest of the process. Its pins vanish with it.
struct Sandbox {
  std::string bpffs;
  std::uint64_t netns_cookie = 0;
};

// Enters it once; later calls return the same. Call before there are threads.
// PermissionDenied names the capability that is missing.
absl::StatusOr<Sandbox> EnterSandbox();

}  // namespace tombolo::test
