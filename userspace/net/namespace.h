// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace tombolo::net {

// A network namespace, held open by a descriptor so that it cannot be recycled.
class NetworkNamespace {
 public:
  // `path` is a namespace file: /run/netns/NAME, /proc/PID/ns/net.
  static absl::StatusOr<NetworkNamespace> Open(const std::string& path);
  static absl::StatusOr<NetworkNamespace> OfThisThread();

  // Runs `body` with the calling thread inside the namespace, and comes back.
  // Ends the process if it cannot come back: every later socket of this thread
  // would be made in a workload's network. Needs CAP_SYS_ADMIN.
  absl::Status Run(absl::FunctionRef<absl::Status()> body) const;
  // The same, for a caller who has opened the thread's own namespace before.
  absl::Status Run(const NetworkNamespace& home, absl::FunctionRef<absl::Status()> body) const;

  // The kernel's identifier (SO_NETNS_COOKIE), as bpf_get_netns_cookie() shows it.
  std::uint64_t cookie() const { return cookie_; }
  int fd() const { return fd_.get(); }

 private:
  absl::Status RunAndReturn(int home, absl::FunctionRef<absl::Status()> body) const;
  NetworkNamespace(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::string path_;
  std::uint64_t cookie_ = 0;
};

}  // namespace tombolo::net
