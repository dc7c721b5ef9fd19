// SPDX-License-Identifier: Apache-2.0
#include "net/route_source.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::net {

absl::StatusOr<IpAddress> SourceTo(const IpAddress& to) {
  sockaddr_storage storage;
  constexpr std::uint16_t kDiscard = 9;  // any port will do
  const socklen_t size = SocketAddress{to, kDiscard}.ToSockaddr(storage);
  const Fd socket(::socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "socket");
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("route to ", to.ToString()));
  }
  ASSIGN_OR_RETURN(const SocketAddress source, LocalAddress(socket.get()));
  return source.ip;
}

}  // namespace tombolo::net
