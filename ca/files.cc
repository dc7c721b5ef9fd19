// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxFileSize = 1 << 20;

absl::Status PathError(absl::string_view what, const std::string& path) {
  return ErrnoStatus(errno, absl::StrCat(what, " ", path));
}

absl::Status WriteAll(int fd, absl::string_view content, mode_t mode, const std::string& path) {
  // The umask must not decide who may read a key.
  if (fchmod(fd, mode) != 0) return PathError("chmod", path);
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return PathError("write", path);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return PathError("fsync", path);
  return absl::OkStatus();
}

// A new name in a directory is durable only after this.
absl::Status SyncDirectoryOf(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return PathError("open", directory);
  if (fsync(fd.get()) != 0) return PathError("fsync", directory);
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("mkdir ", parent.string()));
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == EEXIST && std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return PathError("mkdir", path);
}

absl::Status CreateFile(const std::string& path, absl::string_view content, mode_t mode) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return PathError("create", path);
  const absl::Status written = WriteAll(fd.get(), content, mode, path);
  if (!written.ok()) {
    unlink(path.c_str());
    return written;
  }
  return SyncDirectoryOf(path);
}

absl::Status ReplaceFile(const std::string& path, absl::string_view content, mode_t mode) {
  std::string temporary = absl::StrCat(path, ".XXXXXX");
  const Fd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return PathError("create", temporary);
  absl::Status status = WriteAll(fd.get(), content, mode, temporary);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = PathError("rename to", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectoryOf(path);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return PathError("open", path);
  std::string content;
  char part[4096];
  for (;;) {
    const ssize_t got = read(fd.get(), part, sizeof(part));
    if (got == 0) return content;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PathError("read", path);
    content.append(part, static_cast<std::size_t>(got));
    if (content.size() > kMaxFileSize) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 1 MiB"));
    }
  }
}

absl::Status CheckPrivate(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return PathError("stat", path);
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(path, ": others may read or write it; chmod 600 it"));
}

}  // namespace tombolo::ca
