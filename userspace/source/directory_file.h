// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "mesh/snapshot.h"

namespace tombolo::source {

// Reads and checks the directory file (docs/configuration.md), derives what the
// file leaves out (identities, an endpoint's cluster and node) and indexes the
// result. With `own`, a cluster's name, it is what that cluster can use (mesh::SeeFrom);
// without, everything as it is written. The caller sets `version`, then shares it as const.
// InvalidArgument lists up to YamlErrors::kMaxErrors errors, one a line, each with file, line, key
// and value.
absl::StatusOr<std::shared_ptr<mesh::Snapshot>> LoadDirectory(const std::string& path,
                                                              const std::string& own = "");

}  // namespace tombolo::source
