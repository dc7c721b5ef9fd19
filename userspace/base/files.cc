// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"

namespace tombolo {
namespace {

constexpr std::size_t kMaxToken = 8 * 1024;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return ErrnoStatus(errno, absl::StrCat(what, " '", path, "'"));
}

std::string DirectoryOf(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return directory.empty() ? "." : directory;
}

absl::Status WriteAll(int fd, absl::string_view content, mode_t mode, const std::string& path) {
  // The umask must not decide who may read a key.
  if (fchmod(fd, mode) != 0) return Failed("chmod", path);
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return Failed("fsync", path);
  return absl::OkStatus();
}

// Takes back what it has made when it cannot be written.
absl::Status WriteInto(const Fd& fd, const std::string& path, absl::string_view content,
                       mode_t mode) {
  absl::Status status = WriteAll(fd.get(), content, mode, path);
  if (!status.ok()) (void)unlink(path.c_str());
  return status;
}

absl::Status WriteNew(const std::string& path, absl::string_view content, mode_t mode) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return Failed("create", path);
  return WriteInto(fd, path, content, mode);
}

// A new name in a directory is durable only after this.
absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = DirectoryOf(path);
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return Failed("open", directory);
  if (fsync(fd.get()) != 0) return Failed("fsync", directory);
  return absl::OkStatus();
}

// `fresh` takes the place of `path`, or is removed.
absl::Status Publish(const std::string& fresh, const std::string& path) {
  if (std::rename(fresh.c_str(), path.c_str()) != 0) {
    absl::Status status = Failed("rename to", path);
    (void)unlink(fresh.c_str());
    return status;
  }
  return SyncDirectoryOf(path);
}

// A device, a pipe or a link, such as /dev/stdout, would be gone.
absl::Status CheckReplaceable(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Failed("stat", path);
  }
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("'", path, "' is there and is no regular file: it is not replaced"));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_size) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Failed("open", path);
  std::string content;
  char part[4096];
  for (;;) {
    const ssize_t got = read(fd.get(), part, sizeof(part));
    if (got == 0) return content;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read", path);
    content.append(part, static_cast<std::size_t>(got));
    if (content.size() > max_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", path, "' is larger than ", max_size, " bytes"));
    }
  }
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxToken));
  std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty() || !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return absl::FailedPreconditionError(absl::StrCat("'", path, "' does not hold a token"));
  }
  return token;
}

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("mkdir '", parent.string(), "'"));
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  const int reason = errno;
  if (reason == EEXIST && std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return ErrnoStatus(reason, absl::StrCat("mkdir '", path, "'"));
}

absl::Status CreateFile(const std::string& path, absl::string_view content, mode_t mode) {
  RETURN_IF_ERROR(WriteNew(path, content, mode));
  return SyncDirectoryOf(path);
}

absl::Status ReplaceFile(const std::string& path, absl::string_view content, mode_t mode) {
  RETURN_IF_ERROR(CheckReplaceable(path));
  // A name of its own: whoever chose `path` may have files of any other name beside it.
  std::string fresh = absl::StrCat(path, ".XXXXXX");
  const Fd fd(mkostemp(fresh.data(), O_CLOEXEC));
  if (!fd.valid()) return Failed("create a file beside", path);
  RETURN_IF_ERROR(WriteInto(fd, fresh, content, mode));
  return Publish(fresh, path);
}

absl::Status ReplacePrivateFile(const std::string& path, absl::string_view content) {
  const std::string directory = DirectoryOf(path);
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return Failed("mkdir", directory);
  // Always the same name, so that crashes leave one file at most.
  const std::string fresh = absl::StrCat(path, ".new");
  // What a crash has left may be readable for others.
  if (unlink(fresh.c_str()) != 0 && errno != ENOENT) return Failed("remove", fresh);
  RETURN_IF_ERROR(WriteNew(fresh, content, 0600));
  return Publish(fresh, path);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("remove", path);
  return absl::OkStatus();
}

absl::Status CheckPrivate(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return Failed("stat", path);
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("'", path, "': others may read or write it; chmod 600 it"));
}

}  // namespace tombolo
