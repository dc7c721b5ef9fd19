// SPDX-License-Identifier: Apache-2.0
#include "source/config_values.h"

#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "source/values.h"

namespace tombolo::source {

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

}  // namespace tombolo::source
