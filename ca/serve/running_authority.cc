// SPDX-License-Identifier: Apache-2.0
#include "serve/running_authority.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "store/open.h"

namespace tombolo::ca {
namespace {

using admin::MetricType;
using admin::Sample;

Sample Enrolments(const std::string& result, const std::atomic<std::uint64_t>& count) {
  return {.name = "tombolo_ca_certificates_total",
          .help = "Requests for certificates, by what came of them.",
          .type = MetricType::kCounter,
          .labels = {{"result", result}},
          .value = static_cast<double>(count.load(std::memory_order_relaxed))};
}

double Seconds(WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunningAuthority>> RunningAuthority::Start(
    const CaConfig& config, Registry::Listener listener) {
  auto running = std::unique_ptr<RunningAuthority>(new RunningAuthority);
  ASSIGN_OR_RETURN(running->store_, OpenStore(config.store));
  ASSIGN_OR_RETURN(running->ledger_, Ledger::Open(running->store_, {}));
  running->acks_ = std::make_unique<Acks>(running->store_, Acks::Options{});
  ASSIGN_OR_RETURN(running->registry_, Registry::Start(running->store_, *running->ledger_,
                                                       {.trust_domain = config.trust_domain,
                                                        .keys = KeyStore(config.keys),
                                                        .hosts = config.serve.names,
                                                        .directories = config.directories},
                                                       std::move(listener)));
  if (running->view()->server == nullptr) {
    return absl::FailedPreconditionError(absl::StrJoin(running->registry_->Problems(), "\n"));
  }
  running->service_ = std::make_unique<AuthorityService>(
      running->store_, *running->ledger_, *running->registry_,
      AuthorityService::Options{
          .ttl = config.ttl, .threads = config.ThreadCount(), .queue = config.limits.requests});
  running->pruner_ =
      std::make_unique<Pruner>(running->store_, *running->ledger_, Pruner::Options{});
  return running;
}

std::vector<Sample> RunningAuthority::Samples() const {
  const AuthorityService::Counters& counters = service_->counters();
  std::vector<Sample> samples = {Enrolments("issued", counters.issued),
                                 Enrolments("malformed", counters.malformed),
                                 Enrolments("unauthenticated", counters.unauthenticated),
                                 Enrolments("denied", counters.denied),
                                 Enrolments("busy", counters.busy),
                                 Enrolments("unavailable", counters.unavailable)};
  samples.push_back({.name = "tombolo_ca_refusals_not_recorded_total",
                     .help = "Refusals that were left out of the audit log.",
                     .type = MetricType::kCounter,
                     .value = static_cast<double>(counters.refusals_not_recorded.load())});
  samples.push_back({.name = "tombolo_ca_records_removed_total",
                     .help = "Records that nobody needed any longer, removed by this replica.",
                     .type = MetricType::kCounter,
                     .value = static_cast<double>(pruner_->removed())});
  const ViewPtr view = registry_->view();
  samples.push_back({.name = "tombolo_ca_trust_sequence",
                     .help = "Number of the trust bundle that is published.",
                     .value = static_cast<double>(view->sequence)});
  samples.push_back({.name = "tombolo_ca_problems",
                     .help = "What this replica cannot do now, such as reading a file or a key.",
                     .value = static_cast<double>(registry_->Problems().size())});
  for (const auto& [cluster, issuer] : view->signers) {
    samples.push_back({.name = "tombolo_ca_authority_expiry_timestamp_seconds",
                       .help = "When an authority's certificate ends.",
                       .labels = {{"cluster", cluster}},
                       .value = Seconds(issuer->not_after())});
  }
  for (const auto& [cluster, age] : registry_->issuers().Ages()) {
    samples.push_back({.name = "tombolo_ca_cluster_keys_age_seconds",
                       .help = "How long ago a cluster was asked for its keys, and answered.",
                       .labels = {{"cluster", cluster}},
                       .value = std::chrono::duration<double>(age).count()});
  }
  return samples;
}

}  // namespace tombolo::ca
