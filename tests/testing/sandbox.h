// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Skips the running test when `status` says that a capability is missing; fails it
// when the environment variable TOMBOLO_NO_SKIP is 1. Use it in SetUp() or a test.
#define TOMBOLO_SKIP_UNLESS_OK(status)                                    \
  do {                                                                    \
    if (const absl::Status skip_status_ = (status); !skip_status_.ok()) { \
      if (::tombolo::test::SkipsAreFailures()) FAIL() << skip_status_;    \
      GTEST_SKIP() << "missing capability: " << skip_status_;             \
    }                                                                     \
  } while (false)

namespace tombolo::test {

bool SkipsAreFailures();

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
