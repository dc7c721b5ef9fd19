// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace tombolo::admin {

// A listening, non-blocking Unix stream socket in the file system. Destroying
// it removes the file, if the file is still this socket.
class UnixListener {
 public:
  // Makes `path` with mode 0600; it never has a wider one. The socket file that
  // a dead process left is replaced. AlreadyExists when a living one listens
  // there; InvalidArgument when `path` is something else than a socket, or too
  // long.
  static absl::StatusOr<UnixListener> Create(const std::string& path);

  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  // The listening socket itself; the file stays this object's to remove.
  Fd TakeFd() { return std::move(fd_); }

 private:
  UnixListener(Fd directory, std::string name, Fd fd)
      : directory_(std::move(directory)), name_(std::move(name)), fd_(std::move(fd)) {}
  absl::Status RememberFile();

  Fd directory_;  // invalid after a move
  std::string name_;
  Fd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace tombolo::admin
