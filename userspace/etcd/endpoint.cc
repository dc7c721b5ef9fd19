// SPDX-License-Identifier: Apache-2.0
#include "etcd/endpoint.h"

#include <algorithm>

#include <boost/asio/ip/address.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tombolo::etcd {
namespace {

constexpr std::uint16_t kDefaultPort = 2379;

absl::Status BadUrl(const std::string& url, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("etcd endpoint '", url, "': ", why));
}

bool IsLoopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return host == "localhost" || (!error && address.is_loopback());
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ||
         c == ':';
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(const std::string& url) {
  Endpoint endpoint{.url = url, .port = kDefaultPort};
  absl::string_view rest = url;
  endpoint.tls = absl::ConsumePrefix(&rest, "https://");
  if (!endpoint.tls && !absl::ConsumePrefix(&rest, "http://")) {
    return BadUrl(url, "begins neither with https:// nor with http://");
  }
  absl::ConsumeSuffix(&rest, "/");
  const std::size_t colon = rest.rfind(':');
  if (colon != rest.npos && (rest[0] != '[' || rest[colon - 1] == ']')) {
    int port = 0;
    if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port < 1 || port > 65535) {
      return BadUrl(url, "has a bad port");
    }
    endpoint.port = static_cast<std::uint16_t>(port);
    rest = rest.substr(0, colon);
  }
  const bool bracketed = absl::ConsumePrefix(&rest, "[") && absl::ConsumeSuffix(&rest, "]");
  endpoint.host = std::string(rest);
  if (rest.empty() || rest.size() > 253 ||
      !std::all_of(rest.begin(), rest.end(), IsHostCharacter) ||
      (!bracketed && absl::StrContains(rest, ':'))) {
    return BadUrl(url, "has a bad host");
  }
  endpoint.authority =
      absl::StrCat(bracketed ? "[" : "", rest, bracketed ? "]:" : ":", endpoint.port);
  if (!endpoint.tls && !IsLoopback(endpoint.host)) {
    return BadUrl(url, "anybody on the way could write there: use https://");
  }
  return endpoint;
}

}  // namespace tombolo::etcd
