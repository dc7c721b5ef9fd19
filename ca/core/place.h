// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"

// A node as records have it: "<cluster>/<node>".
namespace tombolo::ca {

// Empty when `id` is not a node's.
std::string PlaceOf(const SpiffeId& id);

absl::StatusOr<SpiffeId> NodeAt(absl::string_view trust_domain, absl::string_view place);

}  // namespace tombolo::ca
