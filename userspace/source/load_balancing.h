// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "mesh/load_balancing.h"
#include "source/yaml_reader.h"

namespace tombolo::source {

using LabelParser = std::function<absl::StatusOr<std::string>(absl::string_view)>;

// Reads a service's `balancing` (docs/configuration.md). `parse_cluster` refuses what is
// no cluster. What is in error keeps its default.
void ReadLoadBalancing(YamlMap map, const LabelParser& parse_cluster, mesh::LoadBalancing& out);

}  // namespace tombolo::source
