// SPDX-License-Identifier: Apache-2.0
// What the agent tells of itself: the admin API's providers.
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "admin/process_metrics.h"
#include "agent/agent.h"
#include "agent/status_json.h"
#include "agent/topology.h"
#include "base/status_macros.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

void Append(json::array& to, json::array from) {
  for (json::value& item : from) to.push_back(std::move(item));
}

}  // namespace

absl::Status Agent::StartAdmin() {
  metrics_.Add(admin::ProcessMetrics);
  metrics_.Add([this] { return CounterSamples(counters_); });
  metrics_.Add([this] { return services_.Samples(); });
  metrics_.Add([this] { return DatapathSamples(*datapath_); });
  metrics_.Add([this] { return IdentitySamples(*identities_); });
  if (shared_directory_ != nullptr) {
    metrics_.Add([this] { return SharedDirectorySamples(shared_directory_->view(), refused_); });
  }
  if (issuance_ != nullptr) metrics_.Add([this] { return AuthoritySamples(issuance_->View()); });
  metrics_.Add([this] { return RelaySamples(settings_.kernel_tls.any(), kernel_tls_); });
  admin::Server::Options options;
  options.socket_path = config_.admin.socket;
  options.listen = config_.admin.listen;
  ASSIGN_OR_RETURN(admin_, admin::Server::Start(io_.get_executor(), options, MakeProviders()));
  return absl::OkStatus();
}

admin::Providers Agent::MakeProviders() {
  admin::Providers providers;
  providers.nouns["status"] = [this] { return Status(); };
  providers.nouns["services"] = [this] { return Services(); };
  providers.nouns["clusters"] = [this] { return Clusters(); };
  providers.nouns["topology"] = [this] { return Topology(); };
  providers.nouns["connections"] = [this] { return Connections(); };
  providers.nouns["tunnels"] = [this] { return Tunnels(); };
  providers.nouns["identities"] = [this]() -> Awaitable<json::value> { co_return Identities(); };
  providers.nouns["workloads"] = [this]() -> Awaitable<json::value> {
    if (enrolment_ == nullptr) co_return WorkloadsJson(*snapshot_, {});
    co_return WorkloadsJson(*snapshot_, enrolment_->entries());
  };
  providers.nouns["datapath"] = [this]() -> Awaitable<json::value> {
    co_return DatapathJson(*datapath_, config_.instance, PinDirectory());
  };
  providers.questions["explain"] = [this](admin::Query query) { return Explain(std::move(query)); };
  providers.not_ready = [this] { return NotReady(); };
  providers.metrics = [this] { return metrics_.Text(); };
  return providers;
}

std::string Agent::PinDirectory() const {
  return absl::StrCat("/sys/fs/bpf/tombolo/", config_.instance);
}

// Conditions under which this node should not be sent workloads. What is wrong
// with one workload is shown with that workload.
std::vector<std::string> Agent::NotReady() const {
  std::vector<std::string> reasons;
  if (stops_ > 0) reasons.emplace_back("draining");
  if (!probe_status_.ok()) reasons.push_back(absl::StrCat("capture: ", Message(probe_status_)));
  if (!apply_status_.ok()) reasons.push_back(absl::StrCat("kernel maps: ", Message(apply_status_)));
  if (issuance_ != nullptr) {
    for (const std::string& reason : issuance_->NotReady()) {
      reasons.push_back(absl::StrCat("identities: ", reason));
    }
  }
  return reasons;
}

json::object Agent::Identities() const {
  if (issuance_ == nullptr) return {{"identities", IdentitiesJson(*identities_, nullptr)}};
  const identity::IssuanceView view = issuance_->View();
  return {{"identities", IdentitiesJson(*identities_, &view)}, {"authority", AuthorityJson(view)}};
}

Awaitable<ThreadSummary> Agent::Summary() {
  ThreadSummary sum;
  for (auto& thread : threads_) {
    const ThreadSummary one = co_await thread->Ask<ThreadSummary>(
        [](DataThread& self) { return Summarize(self.context()); });
    sum.dialed += one.dialed;
    sum.accepted += one.accepted;
    sum.idle_tunnels += one.idle_tunnels;
    sum.busy_tunnels += one.busy_tunnels;
    sum.accepted_tunnels += one.accepted_tunnels;
    sum.closing_tunnels += one.closing_tunnels;
  }
  co_return sum;
}

Awaitable<json::value> Agent::Status() {
  const ThreadSummary summary = co_await Summary();
  const absl::Status& datapath_status = probe_status_.ok() ? apply_status_ : probe_status_;
  json::object out = ProcessJson({config_, *snapshot_, started_at_, snapshot_loaded_at_,
                                  config_status_, directory_status_, NotReady(), threads_.size()});
  if (shared_directory_ != nullptr) {
    out["shared_directory"] = SharedDirectoryJson(shared_directory_->view(), refused_);
  }
  out["datapath"] = json::object{{"attached", probe_status_.ok()},
                                 {"refuse_unknown", datapath_->refuse_unknown()},
                                 {"error", Message(datapath_status)}};
  for (auto& [name, value] : Identities()) out[name] = std::move(value);
  out["relay"] = RelayJson(source::Name(config_.relay), settings_.kernel_tls.any(), kernel_tls_);
  out["connections"] = json::object{{"dialed", summary.dialed}, {"accepted", summary.accepted}};
  out["tunnels"] = json::object{{"idle", summary.idle_tunnels},
                                {"busy", summary.busy_tunnels},
                                {"accepted", summary.accepted_tunnels}};
  co_return out;
}

Awaitable<BalanceViews> Agent::Balance(mesh::SnapshotPtr snapshot) {
  BalanceViews sum;
  for (auto& thread : threads_) {
    // Not inside the co_await: g++ 12 destroys a lambda's captures there twice.
    std::function<BalanceViews(DataThread&)> question = [snapshot](DataThread& self) {
      return BalanceOf(self.context(), *snapshot);
    };
    const BalanceViews one = co_await thread->Ask<BalanceViews>(std::move(question));
    AddTo(sum, one);
  }
  co_return sum;
}

Awaitable<json::value> Agent::Services() {
  const mesh::SnapshotPtr snapshot = snapshot_;
  const BalanceViews views = co_await Balance(snapshot);
  co_return ServicesJson(*snapshot, views);
}

Awaitable<json::value> Agent::Clusters() {
  const mesh::SnapshotPtr snapshot = snapshot_;
  const BalanceViews views = co_await Balance(snapshot);
  co_return ClustersJson(*snapshot, config_.cluster, views);
}

Awaitable<json::value> Agent::Topology() {
  const mesh::SnapshotPtr snapshot = snapshot_;
  const BalanceViews views = co_await Balance(snapshot);
  Traffic traffic;
  for (auto& thread : threads_) {
    AddTo(traffic, co_await thread->Ask<Traffic>(
                       [](DataThread& self) { return TrafficOf(self.context()); }));
  }
  co_return TopologyJson(Seen{*snapshot, config_.cluster, views, traffic, refused_.Away()});
}

Awaitable<json::value> Agent::Connections() {
  json::array all;
  for (auto& thread : threads_) {
    Append(all, co_await thread->Ask<json::array>(
                    [](DataThread& self) { return ConnectionsOf(self.context()); }));
  }
  co_return json::object{{"connections", std::move(all)}};
}

Awaitable<json::value> Agent::Tunnels() {
  json::array all;
  for (auto& thread : threads_) {
    Append(all, co_await thread->Ask<json::array>(
                    [](DataThread& self) { return TunnelsOf(self.context()); }));
  }
  co_return json::object{{"tunnels", std::move(all)}};
}

}  // namespace tombolo::agent
