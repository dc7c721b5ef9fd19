// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "admin/metrics.h"
#include "server/counters.h"

namespace tombolo::ca {

// The HTTPS server's counters as /metrics shows them.
std::vector<admin::Sample> FrontSamples(const ServerCounters& counters);

}  // namespace tombolo::ca
