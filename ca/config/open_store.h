// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "config/ca_config.h"
#include "store/store.h"

namespace tombolo::ca {

// The store that the configuration names.
absl::StatusOr<std::shared_ptr<Store>> OpenStore(const CaConfig::StorePlace& place);

}  // namespace tombolo::ca
