// SPDX-License-Identifier: Apache-2.0
#include "source/directory_import.h"

#include <utility>

#include "base/status_macros.h"

namespace tombolo::source {

absl::Status DirectoryImport::Update(const FilePtr& file, const SharedDirectory& shared,
                                     const SharedDirectory::Changed& changed) {
  const bool anew = file_ != file;
  if (anew) services_.emplace(file);
  file_ = nullptr;  // unless all goes well
  if (anew || changed.clusters || !changed.namespaces.empty()) {
    ASSIGN_OR_RETURN(clusters_, ImportClusters(*file, shared, clusters_.frame));
  }
  services_->Update(clusters_.frame, shared, changed);
  auto snapshot = std::make_shared<mesh::Snapshot>();
  const mesh::Snapshot& frame = *clusters_.frame;
  snapshot->trust_domain = frame.trust_domain;
  snapshot->imports = frame.imports;
  snapshot->clusters = frame.clusters;
  snapshot->workloads = frame.workloads;
  snapshot->allow = frame.allow;
  services_->AddTo(*snapshot);
  RETURN_IF_ERROR(snapshot->IndexAfter(last_ == nullptr ? frame : *last_, frame));
  // Much of what others say is nothing to this cluster.
  if (last_ == nullptr || !last_->SaysTheSame(*snapshot)) last_ = std::move(snapshot);
  file_ = file;
  return absl::OkStatus();
}

absl::StatusOr<ImportedDirectory> DirectoryImport::Run(const FilePtr& file,
                                                       const SharedDirectory& shared,
                                                       const SharedDirectory::Changed& changed) {
  RETURN_IF_ERROR(Update(file, shared, changed));
  ImportedDirectory out{.snapshot = last_, .refusals = {}};
  shared.AddRefusals(out.refusals);
  out.refusals.Add(clusters_.refusals);
  services_->AddRefusals(out.refusals);
  return out;
}

absl::StatusOr<ImportedDirectory> ImportDirectory(const mesh::Snapshot& file,
                                                  const SharedDirectory& shared) {
  // Borrowed until this returns. What the snapshot shares with it outlives it.
  const DirectoryImport::FilePtr borrowed(DirectoryImport::FilePtr(), &file);
  return DirectoryImport().Run(borrowed, shared, {});
}

}  // namespace tombolo::source
