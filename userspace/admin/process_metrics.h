// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "admin/metrics.h"

namespace tombolo::admin {

// The version that this program was built as, e.g. "0.1.0".
absl::string_view BuildVersion();

// tombolo_build_info, and what every Prometheus client library says of its
// process (process_cpu_seconds_total, process_open_fds, ...) from /proc/self.
// What cannot be read is left out.
std::vector<Sample> ProcessMetrics();

}  // namespace tombolo::admin
