// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "datapath/object.h"

namespace tombolo::datapath {

// Entries of tb_services that answer the probe.
inline constexpr std::uint32_t kProbeServices = 2;

// Makes tb_services answer the probe's destinations.
absl::Status WriteProbeServices(const Maps& maps);

// FailedPrecondition when a program is not attached to `cgroup_path`, when a
// foreign connect program runs before it, on that cgroup or on a descendant
// (the kernel runs descendants' first), or when a connect() of this process to
// the probe's destinations is not answered by the hook.
absl::Status ProbeHooks(const std::vector<LoadedProgram>& programs, const std::string& cgroup_path);

}  // namespace tombolo::datapath
