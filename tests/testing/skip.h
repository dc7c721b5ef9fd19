// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

#include "absl/status/status.h"

// For what a machine may lack: skips the running test and names what is missing, or
// fails it when the environment variable TOMBOLO_NO_SKIP is 1. Use these in SetUp()
// or in a test's own body.
#define TOMBOLO_SKIP_WITHOUT(capability)                                                       \
  do {                                                                                         \
    if (::tombolo::test::SkipsAreFailures()) FAIL() << "missing capability: " << (capability); \
    GTEST_SKIP() << "missing capability: " << (capability);                                    \
  } while (false)

#define TOMBOLO_SKIP_UNLESS_OK(status)                          \
  do {                                                          \
    const absl::Status skip_status_ = (status);                 \
    if (!skip_status_.ok()) TOMBOLO_SKIP_WITHOUT(skip_status_); \
  } while (false)

namespace tombolo::test {

inline bool SkipsAreFailures() {
  const char* value = std::getenv("TOMBOLO_NO_SKIP");
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace tombolo::test
