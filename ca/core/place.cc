// SPDX-License-Identifier: Apache-2.0
#include "core/place.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tombolo::ca {

std::string PlaceOf(const SpiffeId& id) {
  const SpiffeId::Name name = id.name();
  return name.kind == SpiffeId::Kind::kNode ? absl::StrCat(name.cluster, "/", name.node) : "";
}

absl::StatusOr<SpiffeId> NodeAt(absl::string_view trust_domain, absl::string_view place) {
  const std::vector<absl::string_view> parts = absl::StrSplit(place, '/');
  if (parts.size() == 2) return SpiffeId::ForNode(trust_domain, parts[0], parts[1]);
  return absl::InvalidArgumentError(absl::StrCat("'", place, "' is not of the form cluster/node"));
}

}  // namespace tombolo::ca
