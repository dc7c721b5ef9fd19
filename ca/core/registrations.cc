// SPDX-License-Identifier: Apache-2.0
#include "core/registrations.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "source/directory_file.h"

namespace tombolo::ca {

DirectoryFiles::Print DirectoryFiles::PrintOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

absl::Status DirectoryFiles::Load(const std::string& path, Registrations& registrations) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<mesh::Snapshot> directory, source::LoadDirectory(path));
  if (directory->trust_domain != trust_domain_) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is of trust domain '",
                                                   directory->trust_domain, "', not of '",
                                                   trust_domain_, "'"));
  }
  registrations.clear();
  for (const mesh::Workload& workload : directory->workloads) {
    registrations[absl::StrCat(workload.cluster, "/", workload.node)].insert(workload.id.text());
  }
  return absl::OkStatus();
}

bool DirectoryFiles::Look() {
  bool changed = false;
  for (const std::string& path : paths_) {
    File& file = files_[path];
    // Before it is read: what changes meanwhile has another print the next time.
    const Print print = PrintOf(path);
    if (file.seen && file.status.ok() && print == file.print) continue;
    file.seen = true;
    file.print = print;
    Registrations read;
    file.status = Load(path, read);
    if (!file.status.ok()) continue;
    file.registrations = std::move(read);
    changed = true;
  }
  if (!changed) return false;
  Registrations all;
  for (const auto& [path, file] : files_) {
    for (const auto& [place, ids] : file.registrations) all[place].insert(ids.begin(), ids.end());
  }
  all_ = std::make_shared<const Registrations>(std::move(all));
  return true;
}

std::vector<std::string> DirectoryFiles::Errors() const {
  std::vector<std::string> errors;
  for (const auto& [path, file] : files_) {
    if (!file.status.ok()) errors.emplace_back(file.status.message());
  }
  return errors;
}

}  // namespace tombolo::ca
