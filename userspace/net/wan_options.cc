// SPDX-License-Identifier: Apache-2.0
#include "net/wan_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"

namespace tombolo::net {

void SetWanOptions(int fd, const WanOptions& options) {
  const std::string& congestion = options.congestion_control;
  // What is refused costs speed, never correctness.
  if (!congestion.empty()) {
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                     static_cast<socklen_t>(congestion.size()));
  }
  if (options.max_segment != 0) {
    const int segment = static_cast<int>(options.max_segment);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
  }
}

absl::Status TryCongestionControl(const std::string& name) {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("congestion control '", name, "'"));
}

}  // namespace tombolo::net
