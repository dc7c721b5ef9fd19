// SPDX-License-Identifier: Apache-2.0
#include "datapath/pins.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <bpf/bpf.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::datapath {
namespace {

// The kernel refuses names with a dot (bpf_lookup in kernel/bpf/inode.c).
constexpr absl::string_view kUnfinished = "_new";

absl::Status CheckBpffs(const std::string& path) {
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("BPF file system '", path, "'"));
  }
  if (info.f_type != BPF_FS_MAGIC) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", path, "' is not a BPF file system: mount one with 'mount -t bpf bpf ", path, "'"));
  }
  return absl::OkStatus();
}

// The name becomes a directory, so it must not be able to leave it.
absl::Status CheckInstance(const std::string& instance) {
  const bool valid = !instance.empty() && instance.size() <= 32 &&
                     std::all_of(instance.begin(), instance.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                     });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("instance '", instance, "': want 1 to 32 of a-z, 0-9 and '-'"));
}

// Whoever owns a directory of pins can remove them, which ends capture; and in a bpffs that
// anybody may write to (its default mode is 1777) anybody may have made it first.
absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("make directory '", path, "'"));
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("'", path, "'"));
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", path, "' is not a directory of this user (uid ", geteuid(),
                     ") but of uid ", info.st_uid, ": who made it could remove the pins in it"));
  }
  if ((info.st_mode & 077) == 0 || chmod(path.c_str(), 0700) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("make '", path, "' private"));
}

absl::StatusOr<std::vector<std::string>> List(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    paths.push_back(it->path().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), absl::StrCat("list '", directory, "'"));
  }
  std::sort(paths.begin(),
            paths.end());  // connect hooks go before the sockops they rely on
  return paths;
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("remove '", path, "'"));
}

absl::Status RemoveDirectory(const std::string& path) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("remove directory '", path, "'"));
}

// Unpinning alone would leave the link attached while anybody holds it open.
absl::Status RemoveLink(const std::string& path) {
  ASSIGN_OR_RETURN(std::optional<Fd> link, OpenPin(path));
  if (link) {
    const int rc = bpf_link_detach(link->get());
    if (rc != 0 && rc != -ENOLINK) {
      return ErrnoStatus(-rc, absl::StrCat("detach link '", path, "'"));
    }
  }
  return RemoveFile(path);
}

}  // namespace

absl::StatusOr<std::string> MakeInstanceDirectory(const std::string& bpffs,
                                                  const std::string& instance) {
  RETURN_IF_ERROR(CheckInstance(instance));
  RETURN_IF_ERROR(CheckBpffs(bpffs));
  RETURN_IF_ERROR(MakeDirectory(absl::StrCat(bpffs, "/tombolo")));
  std::string directory = absl::StrCat(bpffs, "/tombolo/", instance);
  RETURN_IF_ERROR(MakeDirectory(directory));
  return directory;
}

absl::StatusOr<Pins> Pins::Create(const std::string& bpffs, const std::string& instance) {
  ASSIGN_OR_RETURN(std::string directory, MakeInstanceDirectory(bpffs, instance));
  Pins pins(std::move(directory));
  RETURN_IF_ERROR(MakeDirectory(absl::StrCat(pins.directory_, "/maps")));
  RETURN_IF_ERROR(MakeDirectory(absl::StrCat(pins.directory_, "/links")));
  return pins;
}

std::string Pins::MapPath(absl::string_view name) const {
  return absl::StrCat(directory_, "/maps/", name);
}

std::string Pins::LinkPath(absl::string_view name) const {
  return absl::StrCat(directory_, "/links/", name);
}

absl::StatusOr<std::optional<Fd>> OpenPin(const std::string& path) {
  const int fd = bpf_obj_get(path.c_str());
  if (fd >= 0) return Fd(fd);
  if (fd == -ENOENT) return std::nullopt;
  return ErrnoStatus(-fd, absl::StrCat("open pin '", path, "'"));
}

absl::Status Pin(int fd, const std::string& path) {
  const int rc = bpf_obj_pin(fd, path.c_str());
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(-rc, absl::StrCat("pin '", path, "'"));
}

absl::Status ReplacePin(int fd, const std::string& path) {
  RETURN_IF_ERROR(Pin(fd, absl::StrCat(path, kUnfinished)));
  return FinishReplacePin(path);
}

absl::Status FinishReplacePin(const std::string& path) {
  const std::string unfinished = absl::StrCat(path, kUnfinished);
  if (std::rename(unfinished.c_str(), path.c_str()) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("rename '", unfinished, "' to '", path, "'"));
}

absl::Status RemovePins(const std::string& bpffs, const std::string& instance) {
  RETURN_IF_ERROR(CheckInstance(instance));
  RETURN_IF_ERROR(CheckBpffs(bpffs));
  const std::string directory = absl::StrCat(bpffs, "/tombolo/", instance);
  ASSIGN_OR_RETURN(const auto links, List(directory + "/links"));
  for (const std::string& link : links) RETURN_IF_ERROR(RemoveLink(link));
  ASSIGN_OR_RETURN(const auto maps, List(directory + "/maps"));
  for (const std::string& map : maps) RETURN_IF_ERROR(RemoveFile(map));
  RETURN_IF_ERROR(RemoveDirectory(directory + "/links"));
  RETURN_IF_ERROR(RemoveDirectory(directory + "/maps"));
  RETURN_IF_ERROR(RemoveDirectory(directory));
  // Other instances may be there: their directory keeps this one.
  (void)rmdir(absl::StrCat(bpffs, "/tombolo").c_str());
  return absl::OkStatus();
}

}  // namespace tombolo::datapath
