// SPDX-License-Identifier: Apache-2.0
#include "datapath/own_cgroup.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace tombolo::datapath {

// The fields of /proc/self/mountinfo are in proc(5); the type follows " - ".
absl::StatusOr<std::string> CgroupMount() {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 4) return fields[4];
  }
  return absl::FailedPreconditionError("no cgroup2 file system is mounted");
}

absl::StatusOr<std::string> OwnCgroup() {
  std::ifstream file("/proc/thread-self/cgroup");
  for (std::string line; std::getline(file, line);) {
    absl::string_view path = line;
    if (absl::ConsumePrefix(&path, "0::")) return std::string(path);
  }
  return absl::FailedPreconditionError("/proc/thread-self/cgroup names no cgroup2");
}

absl::StatusOr<bool> IsOwnCgroupBelow(const std::string& cgroup_path) {
  namespace fs = std::filesystem;
  ASSIGN_OR_RETURN(const std::string mount, CgroupMount());
  ASSIGN_OR_RETURN(const std::string own, OwnCgroup());
  // The last path is the mount itself: an empty relative path.
  for (fs::path relative = fs::path(own).relative_path();; relative = relative.parent_path()) {
    std::error_code error;
    if (fs::equivalent(fs::path(mount) / relative, cgroup_path, error)) return true;
    if (relative.empty()) return false;
  }
}

}  // namespace tombolo::datapath
