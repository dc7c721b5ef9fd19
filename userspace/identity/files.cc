// SPDX-License-Identifier: Apache-2.0
#include "identity/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxToken = 8 * 1024;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return ErrnoStatus(errno, absl::StrCat(what, " '", path, "'"));
}

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return Failed("fsync", path);
  return absl::OkStatus();
}

absl::Status WriteNew(const std::string& path, absl::string_view content) {
  (void)unlink(path.c_str());  // what a crash has left
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return Failed("create", path);
  absl::Status status = WriteAll(file.get(), content, path);
  if (!status.ok()) (void)unlink(path.c_str());
  return status;
}

absl::Status SyncDirectory(const std::string& directory) {
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return Failed("open", directory);
  if (fsync(fd.get()) != 0) return Failed("fsync", directory);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_size) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Failed("open", path);
  std::string text(max_size + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > max_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' is larger than ", max_size, " bytes"));
  }
  return text;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxToken));
  std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty() || !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return absl::FailedPreconditionError(absl::StrCat("'", path, "' does not hold a token"));
  }
  return token;
}

absl::Status ReplaceFile(const std::string& path, absl::string_view content) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return Failed("make", directory);
  const std::string fresh = path + ".new";
  RETURN_IF_ERROR(WriteNew(fresh, content));
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return Failed("rename to", path);
  return SyncDirectory(directory);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("remove", path);
  return absl::OkStatus();
}

}  // namespace tombolo::identity
