// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "admin/metrics.h"
#include "config/ca_config.h"
#include "core/acks.h"
#include "core/authority_service.h"
#include "core/registry.h"
#include "ledger/ledger.h"
#include "ledger/pruner.h"
#include "store/store.h"

namespace tombolo::ca {

// An authority at work: the store with its ledger, the registry of what is published, and the
// service that issues. Owns their threads. Any thread may call it; destroying it answers what is
// under way.
class RunningAuthority {
 public:
  // FailedPrecondition when it cannot serve: no trust domain yet, or no certificate for the server.
  static absl::StatusOr<std::unique_ptr<RunningAuthority>> Start(const CaConfig& config,
                                                                 Registry::Listener listener);

  ViewPtr view() const { return registry_->view(); }
  AuthorityService& service() { return *service_; }
  Acks& acks() { return *acks_; }

  std::vector<std::string> NotReady() const { return registry_->NotReady(); }
  std::vector<admin::Sample> Samples() const;

 private:
  RunningAuthority() = default;

  // In the order in which they need each other.
  std::shared_ptr<Store> store_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Acks> acks_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<AuthorityService> service_;
  std::unique_ptr<Pruner> pruner_;
};

}  // namespace tombolo::ca
