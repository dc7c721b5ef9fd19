// SPDX-License-Identifier: Apache-2.0
#include "agent/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/fd.h"

namespace tombolo::agent {
namespace {

constexpr int kKernfsHandle = 0xfe;  // FILEID_KERNFS, include/linux/exportfs.h

}  // namespace

absl::StatusOr<Cgroups> Cgroups::Find() {
  // "36 35 98:0 / /mount/point rw,noatime - cgroup2 cgroup2 rw": proc(5).
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2 || !halves[1].starts_with("cgroup2 ")) continue;
    const std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() > 4) return Cgroups(fields[4]);
  }
  return absl::FailedPreconditionError("cgroup v2 is not mounted: mount -t cgroup2 none DIRECTORY");
}

std::string Cgroups::Absolute(const std::string& path) const {
  return path == "/" ? mount_ : absl::StrCat(mount_, path);
}

absl::StatusOr<std::uint64_t> Cgroups::IdOf(const std::string& path) const {
  const std::string absolute = Absolute(path);
  struct stat status {};
  if (stat(absolute.c_str(), &status) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cgroup '", absolute, "'"));
  }
  return static_cast<std::uint64_t>(status.st_ino);
}

bool Cgroups::Exists(std::uint64_t id) const {
  const Fd mount(open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  alignas(file_handle) char storage[sizeof(file_handle) + sizeof(id)] = {};
  auto* handle = reinterpret_cast<file_handle*>(storage);
  handle->handle_bytes = sizeof(id);
  handle->handle_type = kKernfsHandle;
  std::memcpy(handle->f_handle, &id, sizeof(id));
  const Fd found(open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
  // Without the right to ask, it counts as there: what it protects stays closed.
  return found.valid() || (errno != ESTALE && errno != ENOENT);
}

absl::StatusOr<std::string> Cgroups::Own() const {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    absl::string_view path = line;
    if (absl::ConsumePrefix(&path, "0::")) return std::string(path);
  }
  return absl::FailedPreconditionError("this process is in no cgroup v2");
}

}  // namespace tombolo::agent
