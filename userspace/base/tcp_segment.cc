// SPDX-License-Identifier: Apache-2.0
#include "base/tcp_segment.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace tombolo {
namespace {

constexpr int kLargest = 1220;  // 1280 without the headers of IPv6 and TCP

}  // namespace

// What is refused costs paths that are as narrow, and nothing else.
void LimitSegments(int fd) {
  (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &kLargest, sizeof(kLargest));
}

}  // namespace tombolo
