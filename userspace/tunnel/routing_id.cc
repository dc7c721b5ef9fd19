// SPDX-License-Identifier: Apache-2.0
#include "tunnel/routing_id.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tls/digest.h"

namespace tombolo::tunnel {
namespace {

constexpr std::size_t kRoutingIdBytes = 16;
constexpr absl::string_view kSuffix = ".tombolo.internal";

// None of the fields can contain a newline, so the encoding is unambiguous.
std::string Input(absl::string_view purpose, absl::string_view service, std::uint16_t port) {
  return absl::StrCat("tombolo/1 ", purpose, "\n", service, "\n", port, "\n");
}

}  // namespace

std::string RoutingId(absl::string_view service, std::uint16_t port, const SpiffeId& server) {
  const auto digest = tls::Sha256(absl::StrCat(Input("routing-id", service, port), server.text()));
  return tls::Hex(absl::MakeSpan(digest).first(kRoutingIdBytes));
}

std::string ServerName(absl::string_view routing_id, absl::string_view cluster) {
  return absl::StrCat(routing_id, ".", cluster, kSuffix);
}

ServerNameParts SplitServerName(absl::string_view server_name) {
  const std::size_t dot = server_name.find('.');
  if (dot != 2 * kRoutingIdBytes) return {};
  absl::string_view cluster = server_name.substr(dot + 1);
  if (!absl::ConsumeSuffix(&cluster, kSuffix)) return {};
  return {server_name.substr(0, dot), cluster};
}

absl::string_view RoutingIdOf(absl::string_view server_name, absl::string_view cluster) {
  const ServerNameParts parts = SplitServerName(server_name);
  return parts.cluster == cluster ? parts.routing_id : absl::string_view();
}

std::uint64_t ServicePortId(absl::string_view service, std::uint16_t port) {
  const auto digest = tls::Sha256(Input("service-port", service, port));
  std::uint64_t id = 0;
  std::memcpy(&id, digest.data(), sizeof(id));
  return id;
}

}  // namespace tombolo::tunnel
