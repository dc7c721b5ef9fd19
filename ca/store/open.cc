// SPDX-License-Identifier: Apache-2.0
#include "store/open.h"

#include <utility>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "etcd/endpoint.h"
#include "etcd/settings.h"
#include "store/etcd_store.h"
#include "store/sqlite_store.h"

namespace tombolo::ca {

absl::StatusOr<std::string> ParseEtcdEndpoint(absl::string_view url) {
  ASSIGN_OR_RETURN(etcd::Endpoint endpoint, etcd::ParseEndpoint(std::string(url)));
  return std::move(endpoint.url);
}

absl::StatusOr<std::string> ParseEtcdPrefix(absl::string_view prefix) {
  RETURN_IF_ERROR(EtcdStore::CheckPrefix(prefix));
  return std::string(prefix);
}

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreConfig& config) {
  if (config.sqlite.empty() == !config.etcd.has_value()) {
    return absl::InvalidArgumentError("the store is either an SQLite file or an etcd cluster");
  }
  if (!config.etcd) return SqliteStore::Open({.path = config.sqlite});
  const StoreConfig::Etcd& from = *config.etcd;
  ASSIGN_OR_RETURN(etcd::Client::Options client, etcd::Load({.endpoints = from.endpoints,
                                                             .ca = from.ca,
                                                             .certificate = from.certificate,
                                                             .key = from.key}));
  return EtcdStore::Open(
      {.endpoints = from.endpoints, .prefix = from.prefix, .tls = std::move(client.tls)});
}

}  // namespace tombolo::ca
