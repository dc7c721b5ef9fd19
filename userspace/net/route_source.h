// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "net/address.h"

namespace tombolo::net {

// The address that this thread's network namespace would send from to `to`, by its routes; nothing
// is sent. Unavailable: there is no route.
absl::StatusOr<IpAddress> SourceTo(const IpAddress& to);

}  // namespace tombolo::net
