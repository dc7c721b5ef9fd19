// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "load.h"

namespace tombolo::bench {

// The sending side of all legs, a thread for each. `wait_for_start` returns when the load may
// begin. Ends when everything that was sent has been confirmed: answered, or the stream's end has
// come back. An answer that differs from its request fails.
absl::StatusOr<Usage> RunApplication(const std::vector<Fd>& sockets, const Load& load,
                                     absl::FunctionRef<void()> wait_for_start);

}  // namespace tombolo::bench
