// SPDX-License-Identifier: Apache-2.0
#include "core/place.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tombolo::ca {
namespace {

constexpr absl::string_view kGateway = "/gateway/";

}  // namespace

std::string PlaceOf(const SpiffeId& id) {
  const SpiffeId::Name name = id.name();
  if (name.kind == SpiffeId::Kind::kNode) return absl::StrCat(name.cluster, "/", name.node);
  if (name.kind == SpiffeId::Kind::kGateway) {
    return absl::StrCat(name.cluster, kGateway, name.gateway);
  }
  return "";
}

absl::StatusOr<SpiffeId> AgentAt(absl::string_view trust_domain, absl::string_view place) {
  const std::vector<absl::string_view> parts = absl::StrSplit(place, '/');
  if (parts.size() == 2) return SpiffeId::ForNode(trust_domain, parts[0], parts[1]);
  if (parts.size() == 3 && absl::StrCat("/", parts[1], "/") == kGateway) {
    return SpiffeId::ForGateway(trust_domain, parts[0], parts[2]);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", place, "' is not of the form cluster/node or cluster/gateway/gateway"));
}

}  // namespace tombolo::ca
