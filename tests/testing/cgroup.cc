// SPDX-License-Identifier: Apache-2.0
#include "testing/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "datapath/own_cgroup.h"

namespace tombolo::test {
namespace {

constexpr absl::string_view kPrefix = "tombolo-test-";

absl::StatusOr<std::string> Current() {
  ASSIGN_OR_RETURN(const std::string mount, datapath::CgroupMount());
  ASSIGN_OR_RETURN(const std::string own, datapath::OwnCgroup());
  return mount + own;
}

absl::Status Enter(const std::string& path) {
  const std::string file = absl::StrCat(path, "/cgroup.procs");
  const Fd fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), "0", 1) != 1) {
    return ErrnoStatus(errno, absl::StrCat("write '", file, "'"));
  }
  return absl::OkStatus();
}

void RemoveTree(const std::filesystem::path& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_directory(error)) RemoveTree(entry.path());
  }
  (void)rmdir(path.c_str());
}

void RemoveStale(const std::string& mount) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(mount, error)) {
    const std::string name = entry.path().filename().string();
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, kPrefix)) continue;
    int pid = 0;
    const std::vector<absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits('-', 1));
    if (!absl::SimpleAtoi(parts[0], &pid) || kill(pid, 0) == 0) continue;
    RemoveTree(entry.path());
  }
}

}  // namespace

absl::StatusOr<Cgroup> Cgroup::Create(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string mount, datapath::CgroupMount());
  RemoveStale(mount);
  return Make(absl::StrCat(mount, "/", kPrefix, getpid(), "-", name));
}

absl::StatusOr<Cgroup> Cgroup::Child(const std::string& name) const {
  return Make(absl::StrCat(path_, "/", name));
}

absl::StatusOr<Cgroup> Cgroup::Make(std::string path) {
  struct stat info {};
  if (mkdir(path.c_str(), 0755) != 0 || stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("make cgroup '", path, "'"));
  }
  Cgroup cgroup;
  cgroup.path_ = std::move(path);
  cgroup.id_ = info.st_ino;
  return cgroup;
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    Remove();
    path_ = std::exchange(other.path_, {});
    id_ = other.id_;
  }
  return *this;
}

void Cgroup::Remove() {
  if (!path_.empty()) (void)rmdir(path_.c_str());
  path_.clear();
}

absl::Status Cgroup::Run(absl::FunctionRef<void()> body) const {
  ASSIGN_OR_RETURN(const std::string home, Current());
  RETURN_IF_ERROR(Enter(path_));
  body();
  return Enter(home);
}

}  // namespace tombolo::test
