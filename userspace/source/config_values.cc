// SPDX-License-Identifier: Apache-2.0
#include "source/config_values.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

// RFC 4291 ff00::/8, RFC 5771 224.0.0.0/4, and 255.255.255.255: no TCP goes there.
bool IsMulticastOrBroadcast(const net::IpAddress& ip) {
  const auto& bytes = ip.bytes();
  if (!ip.is_v4()) return bytes[0] == 0xff;
  return (bytes[12] & 0xf0) == 0xe0 ||
         std::all_of(bytes.begin() + 12, bytes.end(), [](std::uint8_t b) { return b == 0xff; });
}

}  // namespace

absl::StatusOr<net::SocketAddress> ParseListen(absl::string_view text) {
  ASSIGN_OR_RETURN(const net::SocketAddress address, net::SocketAddress::Parse(text));
  if (address.port == 0) return BadValue(text, "has port 0; others must know the port");
  return address;
}

absl::StatusOr<std::optional<net::SocketAddress>> ParseListenOrOff(absl::string_view text) {
  if (text.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const net::SocketAddress address, ParseListen(text));
  return address;
}

absl::StatusOr<log::Level> ParseLevel(absl::string_view text) {
  if (text == "debug") return log::Level::kDebug;
  if (text == "info") return log::Level::kInfo;
  if (text == "warning") return log::Level::kWarning;
  if (text == "error") return log::Level::kError;
  return BadValue(text, "is not a level (debug, info, warning, error)");
}

absl::StatusOr<log::Format> ParseFormat(absl::string_view text) {
  if (text == "text") return log::Format::kText;
  if (text == "json") return log::Format::kJson;
  return BadValue(text, "is not a format (text, json)");
}

absl::StatusOr<std::string> ParseTrustDomain(absl::string_view text) {
  const auto id = SpiffeId::Parse(absl::StrCat("spiffe://", text));
  if (!id.ok() || id->trust_domain() != text) {
    return BadValue(text, "is not a trust domain (characters a-z, 0-9, '.', '-', '_')");
  }
  return std::string(text);
}

absl::StatusOr<std::string> PathParser::operator()(absl::string_view text) const {
  if (text.empty()) return BadValue(text, "is not a path");
  return (base_ / std::string(text)).lexically_normal().string();
}

absl::StatusOr<net::IpAddress> ParseVip(absl::string_view text) {
  ASSIGN_OR_RETURN(const net::IpAddress ip, net::IpAddress::Parse(text));
  if (ip.is_loopback()) return BadValue(text, "is a loopback address; it cannot be a VIP");
  if (ip.is_unspecified()) return BadValue(text, "is the unspecified address; it cannot be a VIP");
  if (IsMulticastOrBroadcast(ip)) {
    return BadValue(text, "is a multicast or broadcast address; it cannot be a VIP");
  }
  return ip;
}

absl::StatusOr<net::SocketAddress> ParseTarget(absl::string_view text) {
  ASSIGN_OR_RETURN(const net::SocketAddress address, net::SocketAddress::Parse(text));
  if (address.port == 0) return BadValue(text, "has port 0");
  if (address.ip.is_unspecified() || IsMulticastOrBroadcast(address.ip)) {
    return BadValue(text, "is not the address of one host");
  }
  return address;
}

}  // namespace tombolo::source
