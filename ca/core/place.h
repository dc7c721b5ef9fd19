// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"

// Where an agent runs that has an identity of its own, as records have it: a node is
// "<cluster>/<node>", a gateway "<cluster>/gateway/<gateway>".
namespace tombolo::ca {

// Empty when `id` is neither a node's nor a gateway's.
std::string PlaceOf(const SpiffeId& id);

// The identity of the agent there.
absl::StatusOr<SpiffeId> AgentAt(absl::string_view trust_domain, absl::string_view place);

}  // namespace tombolo::ca
