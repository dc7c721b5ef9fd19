// SPDX-License-Identifier: Apache-2.0
#include "admin/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::admin {
namespace {

constexpr mode_t kMode = 0600;
constexpr int kBacklog = 64;

absl::StatusOr<sockaddr_un> ToSockaddr(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("admin socket '", path, "': a path has 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<Fd> StreamSocket() {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

// The lock makes "is it dead? remove it, bind, listen" one step, so that two
// agents that start at once cannot remove each other's socket.
absl::StatusOr<Fd> OpenAndLock(const std::string& directory, const std::string& path) {
  Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno,
                       absl::StrCat("admin socket '", path, "': open directory '", directory, "'"));
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) {
    return ErrnoStatus(errno, absl::StrCat("lock directory '", directory, "'"));
  }
  return absl::UnavailableError(
      absl::StrCat("admin socket '", path, "': another agent is starting on it"));
}

// Removes what a dead process left; OK when nothing is there.
absl::Status RemoveStale(int directory, const std::string& name, const std::string& path,
                         const sockaddr_un& address) {
  struct stat file {};
  if (fstatat(directory, name.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("admin socket '", path, "'"));
  }
  if (!S_ISSOCK(file.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("admin socket '", path, "': something that is not a socket has this name"));
  }
  ASSIGN_OR_RETURN(const Fd probe, StreamSocket());
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0 ||
      errno == EAGAIN) {  // EAGAIN: alive, and its backlog is full
    return absl::AlreadyExistsError(absl::StrCat(
        "admin socket '", path, "': a running agent listens there; stop it, or set admin.socket"));
  }
  if (errno != ECONNREFUSED) {
    return ErrnoStatus(errno, absl::StrCat("admin socket '", path, "': is its owner alive"));
  }
  if (unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("remove stale admin socket '", path, "'"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Fd> BindAndListen(const std::string& path, const sockaddr_un& address) {
  ASSIGN_OR_RETURN(Fd fd, StreamSocket());
  // bind() gives the file the mode of the socket's own inode, less the umask
  // (net/unix/af_unix.c, unix_bind_bsd), so it is never open to others, not
  // even for a moment, and the process's umask need not change.
  if (fchmod(fd.get(), kMode) != 0) return ErrnoStatus(errno, "fchmod socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind admin socket '", path, "'"));
  }
  if (listen(fd.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen on admin socket '", path, "'"));
  }
  return fd;
}

}  // namespace

absl::StatusOr<UnixListener> UnixListener::Create(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, ToSockaddr(path));
  const std::filesystem::path parts(path);
  const std::string parent = parts.has_parent_path() ? parts.parent_path().string() : ".";
  const std::string name = parts.filename().string();
  ASSIGN_OR_RETURN(Fd directory, OpenAndLock(parent, path));
  RETURN_IF_ERROR(RemoveStale(directory.get(), name, path, address));
  ASSIGN_OR_RETURN(Fd fd, BindAndListen(path, address));
  (void)flock(directory.get(), LOCK_UN);
  UnixListener listener(std::move(directory), name, std::move(fd));
  RETURN_IF_ERROR(listener.RememberFile());
  return listener;
}

absl::Status UnixListener::RememberFile() {
  struct stat file {};
  if (fstatat(directory_.get(), name_.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat admin socket '", name_, "'"));
  }
  device_ = file.st_dev;
  inode_ = file.st_ino;
  return absl::OkStatus();
}

UnixListener::~UnixListener() {
  if (!directory_.valid()) return;
  struct stat file {};
  if (fstatat(directory_.get(), name_.c_str(), &file, AT_SYMLINK_NOFOLLOW) == 0 &&
      file.st_dev == device_ && file.st_ino == inode_) {
    (void)unlinkat(directory_.get(), name_.c_str(), 0);
  }
}

}  // namespace tombolo::admin
