// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "redirect.h"

namespace tombolo::bench {

// A connection over loopback from an application, which blocks, to its agent, which does not.
struct Leg {
  Fd application, agent;
};

// With `redirect` both ends are in its maps before a byte is sent; null: ordinary TCP.
absl::StatusOr<Leg> OpenLeg(Redirect* redirect);

// Calls to `fd` wait from now on, or no longer.
void SetBlocking(int fd, bool blocking);

}  // namespace tombolo::bench
