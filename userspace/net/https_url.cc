// SPDX-License-Identifier: Apache-2.0
#include "net/https_url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "net/address.h"

namespace tombolo::net {
namespace {

constexpr std::size_t kMaxName = 253;  // RFC 1035, without the last dot
constexpr std::size_t kMaxLabel = 63;

bool IsLabel(absl::string_view label) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; };
  return !label.empty() && label.size() <= kMaxLabel &&
         std::all_of(label.begin(), label.end(), allowed);
}

bool IsName(absl::string_view host) {
  const auto labels = absl::StrSplit(absl::StripSuffix(host, "."), '.');
  return host.size() <= kMaxName && std::all_of(labels.begin(), labels.end(), IsLabel);
}

bool ParsePort(absl::string_view text, std::uint16_t& out) {
  std::uint32_t port = 0;
  const bool digits = std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || text.size() > 5 || !absl::SimpleAtoi(text, &port)) return false;
  out = static_cast<std::uint16_t>(port);
  return port > 0 && port <= 65535;
}

// Splits "[fd00::1]:8443" and "name:8443"; no port leaves `port` empty.
bool Split(absl::string_view text, absl::string_view& host, absl::string_view& port) {
  const bool bracketed = absl::ConsumePrefix(&text, "[");
  const std::size_t end = text.find(bracketed ? ']' : ':');
  host = text.substr(0, end);
  if (end == absl::string_view::npos) return !bracketed;
  absl::string_view rest = text.substr(bracketed ? end + 1 : end);
  port = rest.substr(std::min<std::size_t>(1, rest.size()));
  return rest.empty() || (rest.front() == ':' && !port.empty());
}

}  // namespace

absl::StatusOr<HttpsUrl> HttpsUrl::Parse(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' ", why));
  };
  absl::string_view rest = text, host, port;
  if (!absl::ConsumePrefix(&rest, "https://")) return bad("does not begin with https://");
  absl::ConsumeSuffix(&rest, "/");
  if (rest.find_first_of("/?#@") != absl::string_view::npos) {
    return bad("has more than a host and a port");
  }
  HttpsUrl url;
  if (!Split(rest, host, port)) return bad("is not a host and a port like https://ca.example:8443");
  if (!port.empty() && !ParsePort(port, url.port)) return bad("has no port from 1 to 65535");
  const auto address = IpAddress::Parse(host);
  // In brackets: an IPv6 address, and nothing else.
  const bool bracketed = absl::StartsWith(rest, "[");
  const bool good = address.ok() ? bracketed == !address->is_v4() : !bracketed && IsName(host);
  if (!good) return bad("has neither a DNS name nor an address as its host");
  url.host = std::string(host);
  return url;
}

std::string HttpsUrl::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string HttpsUrl::ToString() const { return absl::StrCat("https://", authority()); }

}  // namespace tombolo::net
