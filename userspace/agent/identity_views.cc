// SPDX-License-Identifier: Apache-2.0
// What the admin API and the metrics show of identities.
#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/views.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;
using admin::Sample;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

double Seconds(WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void AddRenewal(const identity::RenewalView& renewal, json::object& out) {
  out["next_attempt"] = Rfc3339(renewal.next);
  out["failures"] = renewal.failures;
  out["expires_soon"] = renewal.expires_soon;
}

double SecondsLeft(const identity::RenewalView& renewal) {
  if (renewal.serial.empty()) return 0;
  const WallTime now = std::chrono::system_clock::now();
  return std::max(0.0, std::chrono::duration<double>(renewal.not_after - now).count());
}

void AddRenewalSamples(const identity::RenewalView& renewal, std::vector<Sample>& samples) {
  const std::vector<std::pair<std::string, std::string>> labels{{"id", renewal.id.text()}};
  samples.push_back({.name = "tombolo_svid_renewal_failures",
                     .help = "Attempts in a row to get an SVID that failed.",
                     .labels = labels,
                     .value = static_cast<double>(renewal.failures)});
  samples.push_back({.name = "tombolo_svid_renewal_failures_total",
                     .help = "Attempts to get an SVID that failed.",
                     .type = admin::MetricType::kCounter,
                     .labels = labels,
                     .value = static_cast<double>(renewal.all_failures)});
  samples.push_back({.name = "tombolo_svid_expires_in_seconds",
                     .help = "How long an SVID holds still; 0: there is none, or not any longer.",
                     .labels = labels,
                     .value = SecondsLeft(renewal)});
  samples.push_back({.name = "tombolo_svid_useless",
                     .help = "1 when the last SVID that was issued does not hold on this node.",
                     .labels = labels,
                     .value = renewal.useless ? 1.0 : 0.0});
  samples.push_back({.name = "tombolo_svid_expires_soon",
                     .help = "1 when less than a quarter of an SVID's lifetime is left.",
                     .labels = labels,
                     .value = renewal.expires_soon ? 1.0 : 0.0});
}

}  // namespace

json::array IdentitiesJson(const identity::Store& store, const identity::IssuanceView* renewals) {
  json::array out;
  for (const auto& [id, entry] : store.entries()) {
    json::object item{{"id", id.text()}, {"error", Message(entry.error)}};
    if (entry.credentials != nullptr) {
      item["serial"] = entry.credentials->serial();
      item["not_before"] = Rfc3339(entry.credentials->not_before());
      item["not_after"] = Rfc3339(entry.credentials->not_after());
    }
    if (renewals != nullptr) {
      const auto renewal = renewals->workloads.find(id);
      if (renewal != renewals->workloads.end()) AddRenewal(renewal->second, item);
    }
    out.push_back(std::move(item));
  }
  return out;
}

json::object AuthorityJson(const identity::IssuanceView& view) {
  json::array urls;
  for (const std::string& url : view.urls) urls.emplace_back(url);
  json::object node{{"id", view.node.id.text()}, {"error", Message(view.node.error)}};
  if (!view.node.serial.empty()) {
    node["serial"] = view.node.serial;
    node["not_before"] = Rfc3339(view.node.not_before);
    node["not_after"] = Rfc3339(view.node.not_after);
  }
  AddRenewal(view.node, node);
  json::object out{{"urls", std::move(urls)},
                   {"reachable", view.reachable},
                   {"since", Rfc3339(view.since)},
                   {"bundle_error", Message(view.trust_error)},
                   {"state_error", Message(view.state_error)},
                   {"node", std::move(node)}};
  if (view.sequence) out["bundle_sequence"] = *view.sequence;
  return out;
}

std::vector<Sample> IdentitySamples(const identity::Store& store) {
  std::vector<Sample> samples;
  for (const auto& [id, entry] : store.entries()) {
    samples.push_back({.name = "tombolo_svid_error",
                       .help = "1 when a workload's SVID could not be replaced by a newer one.",
                       .labels = {{"id", id.text()}},
                       .value = entry.error.ok() ? 0.0 : 1.0});
    if (entry.credentials == nullptr) continue;
    samples.push_back({.name = "tombolo_svid_expiry_timestamp_seconds",
                       .help = "When the SVID in use expires.",
                       .labels = {{"id", id.text()}},
                       .value = Seconds(entry.credentials->not_after())});
  }
  return samples;
}

std::vector<Sample> AuthoritySamples(const identity::IssuanceView& view) {
  std::vector<Sample> samples;
  samples.push_back({.name = "tombolo_authority_reachable",
                     .help = "1 when the certificate authority answered the last request.",
                     .value = view.reachable ? 1.0 : 0.0});
  samples.push_back({.name = "tombolo_authority_state_since_timestamp_seconds",
                     .help = "Since when tombolo_authority_reachable is what it is.",
                     .value = Seconds(view.since)});
  if (view.sequence) {
    samples.push_back({.name = "tombolo_trust_bundle_sequence",
                       .help = "The number of the trust bundle that this node holds.",
                       .value = static_cast<double>(*view.sequence)});
  }
  AddRenewalSamples(view.node, samples);
  for (const auto& [id, renewal] : view.workloads) AddRenewalSamples(renewal, samples);
  if (!view.node.serial.empty()) {
    samples.push_back({.name = "tombolo_svid_expiry_timestamp_seconds",
                       .help = "When the SVID in use expires.",
                       .labels = {{"id", view.node.id.text()}},
                       .value = Seconds(view.node.not_after)});
  }
  return samples;
}

}  // namespace tombolo::agent
