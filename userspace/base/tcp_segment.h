// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tombolo {

// Before connect(), of a connection that carries little and may go anywhere, as to etcd or the
// authority: segments of at most 1220 bytes, both ways (TCP_MAXSEG, tcp(7)). They fit a path of
// 1280 bytes, IPv6's least (RFC 8200, section 5), also where nobody is told that a packet was too
// large (ICMP is dropped) and the connection would hang.
void LimitSegments(int fd);

}  // namespace tombolo
