// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mesh/snapshot.h"
#include "source/imported_clusters.h"
#include "source/imported_services.h"
#include "source/shared_directory.h"

namespace tombolo::source {

struct ImportedDirectory {
  std::shared_ptr<mesh::Snapshot> snapshot;  // indexed; the caller sets `version`
  Refusals refusals;
};

// What the cluster `shared.own()` can use: its own file's directory, and what the other clusters
// say of themselves as far as an administrator allows it. A cluster is believed to lie; all that
// a lie may cost is the record that it is in:
//
// - A cluster counts while an administrator says that it is a member. One that the file describes
//   is the file's.
// - Nothing new is sent to a cluster without a way (mesh::Cluster::ways): none of its gateways
//   counts, nor does one that can be dialled of the clusters through which they are reached.
// - A gateway's address has to be within a prefix that an administrator gave to its cluster, and
//   within no other cluster's longer or equal one: whose an address is depends on administrators
//   alone. If it went to whom claims it first, or were taken from both, a cluster could take
//   others' gateways from them where prefixes overlap.
// - A service counts when its namespace is granted to the cluster, and all identities behind it
//   are the cluster's own in that namespace.
// - What the own cluster says is what its file says; only the VIPs of services that are imported
//   come from etcd. They have to be within imports.vips of the file, and no service's otherwise.
//
// A service of the file keeps the file's VIPs, ports and balancing, and gets endpoints: the ports
// that only others have are not its. One that the file does not have gets the ports of all that
// export it; it is left out, and costs nothing, unless one of the file's rules is about it, since
// nobody of this cluster could use it. Without a VIP nothing captures it.
//
// `file` is LoadDirectory()'s, of the own cluster. Pure; any thread. An error would be our own:
// nothing that is in etcd can cause one.
absl::StatusOr<ImportedDirectory> ImportDirectory(const mesh::Snapshot& file,
                                                  const SharedDirectory& shared);

// The same, for one state of the directory after the other: what a change does not touch is kept,
// and shared by the snapshots. A change of some records costs as much as those, and a pass over
// the list of services; one of clusters, gateways or grants also a pass over the clusters.
//
// Keeps `file` and what is made of it; not `shared`. Of one thread.
class DirectoryImport {
 public:
  using FilePtr = std::shared_ptr<const mesh::Snapshot>;

  // What ImportDirectory(*file, shared) would say; the snapshot of before, if that says the same.
  // `shared` has to be the one of before, and `changed` what has become different in it since.
  absl::StatusOr<ImportedDirectory> Run(const FilePtr& file, const SharedDirectory& shared,
                                        const SharedDirectory::Changed& changed);

 private:
  absl::Status Update(const FilePtr& file, const SharedDirectory& shared,
                      const SharedDirectory::Changed& changed);

  FilePtr file_;  // null: the next one begins anew
  ImportedClusters clusters_;
  std::optional<ImportedServices> services_;
  std::shared_ptr<mesh::Snapshot> last_;
};

}  // namespace tombolo::source
