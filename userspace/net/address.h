// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::net {

// An IPv4 or IPv6 address: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d,
// so that one map and one comparison serve both families.
class IpAddress {
 public:
  IpAddress() = default;  // ::
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);
  static IpAddress FromBytes(const std::uint8_t (&bytes)[16]);
  static IpAddress Loopback(bool ipv6);

  bool is_v4() const;
  bool is_loopback() const;
  bool is_unspecified() const;
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;  // 10.0.0.1, fd00::1

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.bytes_);
  }

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;  // host order

  // "10.0.0.1:80", "[fd00::1]:80"
  static absl::StatusOr<SocketAddress> Parse(absl::string_view text);
  std::string ToString() const;

  // v4-mapped addresses become AF_INET.
  socklen_t ToSockaddr(sockaddr_storage& out) const;
  static SocketAddress FromSockaddr(const sockaddr_storage& in);

  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
  friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SocketAddress& a) {
    return H::combine(std::move(h), a.ip, a.port);
  }
};

// A CIDR range. `length` counts bits of the 16-byte form: 10.0.0.0/8 has 104.
struct Prefix {
  IpAddress ip;
  std::uint8_t length = 0;

  // "10.96.0.0/16", "fd00::/8"; an address with bits set beyond the length is
  // refused.
  static absl::StatusOr<Prefix> Parse(absl::string_view text);
  std::string ToString() const;
  bool Contains(const IpAddress& address) const;

  friend bool operator==(const Prefix&, const Prefix&) = default;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

}  // namespace tombolo::net
