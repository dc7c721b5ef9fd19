// SPDX-License-Identifier: Apache-2.0
#include "net/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71  // include/uapi/asm-generic/socket.h, Linux 5.14
#endif

namespace tombolo::net {
namespace {

constexpr const char* kThisThread = "/proc/thread-self/ns/net";

absl::StatusOr<std::uint64_t> CookieOfThisThread() {
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "socket");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return ErrnoStatus(errno, "SO_NETNS_COOKIE");
  }
  return cookie;
}

}  // namespace

absl::StatusOr<NetworkNamespace> NetworkNamespace::Open(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open network namespace '", path, "'"));
  NetworkNamespace ns(std::move(fd), path);
  RETURN_IF_ERROR(ns.Run([&] {
    auto cookie = CookieOfThisThread();
    if (cookie.ok()) ns.cookie_ = *cookie;
    return cookie.status();
  }));
  return ns;
}

absl::StatusOr<NetworkNamespace> NetworkNamespace::OfThisThread() { return Open(kThisThread); }

absl::Status NetworkNamespace::Run(absl::FunctionRef<absl::Status()> body) const {
  const Fd home(open(kThisThread, O_RDONLY | O_CLOEXEC));
  if (!home.valid()) return ErrnoStatus(errno, "open this thread's network namespace");
  return RunAndReturn(home.get(), body);
}

absl::Status NetworkNamespace::Run(const NetworkNamespace& home,
                                   absl::FunctionRef<absl::Status()> body) const {
  return RunAndReturn(home.fd_.get(), body);
}

absl::Status NetworkNamespace::RunAndReturn(int home,
                                            absl::FunctionRef<absl::Status()> body) const {
  if (setns(fd_.get(), CLONE_NEWNET) != 0) {
    return ErrnoStatus(errno, absl::StrCat("enter network namespace '", path_, "'"));
  }
  absl::Status status = body();
  if (setns(home, CLONE_NEWNET) != 0) {
    log::Error("cannot leave a network namespace", {{"path", path_}});
    std::abort();
  }
  return status;
}

}  // namespace tombolo::net
