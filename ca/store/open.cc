// SPDX-License-Identifier: Apache-2.0
#include "store/open.h"

#include <utility>

#include "absl/status/status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "etcd/endpoint.h"
#include "store/etcd_store.h"
#include "store/sqlite_store.h"
#include "tls/client_context.h"

namespace tombolo::ca {
namespace {

using ClientContextPtr = std::shared_ptr<const tls::ClientContext>;

absl::StatusOr<ClientContextPtr> LoadTls(const StoreConfig::Etcd& etcd) {
  if (etcd.certificate.empty() != etcd.key.empty()) {
    return absl::InvalidArgumentError("etcd: a client certificate and its key go together");
  }
  if (etcd.ca.empty() && etcd.certificate.empty()) return ClientContextPtr();
  if (etcd.ca.empty()) {
    return absl::InvalidArgumentError("etcd: a client certificate, but no ca for the servers'");
  }
  tls::ClientContext::Pem pem{
      .roots_name = etcd.ca, .chain_name = etcd.certificate, .key_name = etcd.key};
  ASSIGN_OR_RETURN(pem.roots, ReadFile(etcd.ca));
  if (!etcd.key.empty()) {
    RETURN_IF_ERROR(CheckPrivate(etcd.key));
    ASSIGN_OR_RETURN(pem.chain, ReadFile(etcd.certificate));
    ASSIGN_OR_RETURN(pem.key, ReadFile(etcd.key));
  }
  return tls::ClientContext::FromPem(pem);
}

}  // namespace

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
  ASSIGN_OR_RETURN(ClientContextPtr tls, LoadTls(*config.etcd));
  return EtcdStore::Open(
      {.endpoints = config.etcd->endpoints, .prefix = config.etcd->prefix, .tls = std::move(tls)});
}

}  // namespace tombolo::ca
