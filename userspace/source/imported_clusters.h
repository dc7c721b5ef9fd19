// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "mesh/snapshot.h"
#include "source/shared_directory.h"

namespace tombolo::source {

// What of ImportDirectory() is not about services. A plain value.
struct ImportedClusters {
  // All but the services, indexed: the file's clusters, and the others that count.
  mesh::SnapshotPtr frame;
  Refusals refusals;
};

// Pure; any thread. What is shared with `before`, a frame, if that is there, is not indexed again,
// and it is the frame if that says the same.
absl::StatusOr<ImportedClusters> ImportClusters(const mesh::Snapshot& file,
                                                const SharedDirectory& shared,
                                                const mesh::SnapshotPtr& before);

}  // namespace tombolo::source
