// SPDX-License-Identifier: Apache-2.0
#include "config/open_store.h"

#include "base/status_macros.h"
#include "store/sqlite_store.h"

namespace tombolo::ca {

absl::StatusOr<std::shared_ptr<Store>> OpenStore(const CaConfig::StorePlace& place) {
  ASSIGN_OR_RETURN(std::unique_ptr<Store> store, SqliteStore::Open({.path = place.sqlite}));
  return std::shared_ptr<Store>(std::move(store));
}

}  // namespace tombolo::ca
