// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::net {
namespace {

constexpr std::uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kMappedBits = 96;

// SimpleAtoi also takes signs and spaces; a port or a length has neither.
bool ParseNumber(absl::string_view text, std::uint32_t max, std::uint32_t& out) {
  if (text.empty() || text.size() > 5) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  return absl::SimpleAtoi(text, &out) && out <= max;
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) {  // inet_pton would stop there
    return absl::InvalidArgumentError("an address has a NUL byte");
  }
  IpAddress address;
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) == 1) return address;
  std::copy(std::begin(kMappedPrefix), std::end(kMappedPrefix), address.bytes_.begin());
  if (inet_pton(AF_INET, copy.c_str(), address.bytes_.data() + 12) == 1) return address;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not an IP address"));
}

IpAddress IpAddress::FromBytes(const std::uint8_t (&bytes)[16]) {
  IpAddress address;
  std::copy(std::begin(bytes), std::end(bytes), address.bytes_.begin());
  return address;
}

IpAddress IpAddress::Loopback(bool ipv6) { return *Parse(ipv6 ? "::1" : "127.0.0.1"); }

bool IpAddress::is_v4() const {
  return std::equal(std::begin(kMappedPrefix), std::end(kMappedPrefix), bytes_.begin());
}

bool IpAddress::is_loopback() const {
  return is_v4() ? bytes_[12] == 127 : *this == Loopback(/*ipv6=*/true);
}

bool IpAddress::is_unspecified() const {
  const auto first = is_v4() ? bytes_.begin() + 12 : bytes_.begin();
  return std::all_of(first, bytes_.end(), [](std::uint8_t b) { return b == 0; });
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  const bool v4 = is_v4();
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes_.data() + (v4 ? 12 : 0), text, sizeof(text));
  return text;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(absl::string_view text) {
  const auto invalid = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not an address and port like 10.0.0.1:80 or [fd00::1]:80"));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return invalid();
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != absl::string_view::npos)) return invalid();
  std::uint32_t port = 0;
  if (!ParseNumber(text.substr(colon + 1), 65535, port)) return invalid();
  auto ip = IpAddress::Parse(host);
  if (!ip.ok()) return invalid();
  return SocketAddress{*ip, static_cast<std::uint16_t>(port)};
}

std::string SocketAddress::ToString() const {
  return ip.is_v4() ? absl::StrCat(ip.ToString(), ":", port)
                    : absl::StrCat("[", ip.ToString(), "]:", port);
}

socklen_t SocketAddress::ToSockaddr(sockaddr_storage& out) const {
  std::memset(&out, 0, sizeof(out));
  if (ip.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(out);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.bytes().data() + 12, 4);
    return sizeof(in);
  }
  auto& in6 = reinterpret_cast<sockaddr_in6&>(out);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  std::memcpy(&in6.sin6_addr, ip.bytes().data(), 16);
  return sizeof(in6);
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr_storage& in) {
  std::uint8_t bytes[16] = {};
  if (in.ss_family == AF_INET) {
    const auto& in4 = reinterpret_cast<const sockaddr_in&>(in);
    std::memcpy(bytes, kMappedPrefix, sizeof(kMappedPrefix));
    std::memcpy(bytes + 12, &in4.sin_addr, 4);
    return {IpAddress::FromBytes(bytes), ntohs(in4.sin_port)};
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(in);
  std::memcpy(bytes, &in6.sin6_addr, 16);
  return {IpAddress::FromBytes(bytes), ntohs(in6.sin6_port)};
}

absl::StatusOr<Prefix> Prefix::Parse(absl::string_view text) {
  const std::size_t slash = text.find('/');
  const auto invalid = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' ", why));
  };
  if (slash == absl::string_view::npos) return invalid("is not a range like 10.96.0.0/16");
  auto ip = IpAddress::Parse(text.substr(0, slash));
  if (!ip.ok()) return invalid("is not a range like 10.96.0.0/16");
  std::uint32_t length = 0;
  if (!ParseNumber(text.substr(slash + 1), ip->is_v4() ? 32 : 128, length)) {
    return invalid("has a prefix length out of range");
  }
  Prefix prefix{*ip, static_cast<std::uint8_t>(length + (ip->is_v4() ? kMappedBits : 0))};
  for (int bit = prefix.length; bit < 128; ++bit) {
    if ((ip->bytes()[bit / 8] >> (7 - bit % 8)) & 1) {
      return invalid("has address bits set beyond its prefix length");
    }
  }
  return prefix;
}

std::string Prefix::ToString() const {
  return absl::StrCat(ip.ToString(), "/", length - (ip.is_v4() ? kMappedBits : 0));
}

bool Prefix::Contains(const IpAddress& address) const {
  for (int bit = 0; bit < length; ++bit) {
    const int mask = 0x80 >> (bit % 8);
    if ((ip.bytes()[bit / 8] & mask) != (address.bytes()[bit / 8] & mask)) return false;
  }
  return true;
}

}  // namespace tombolo::net
