// SPDX-License-Identifier: Apache-2.0
// The directory that the clusters share in etcd, as the agent uses and shows it.
#include "agent/agent_directory.h"

#include <utility>

#include <boost/json/array.hpp>

#include "agent/views.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "etcd/settings.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

json::object GroupJson(const std::string& cluster, source::RefusalReason reason,
                       const source::Refusals::Group& group) {
  json::array records;
  for (const source::Refusal& refusal : group.told) {
    records.emplace_back(json::object{{"key", refusal.key}, {"what", refusal.what}});
  }
  return {{"cluster", cluster},
          {"reason", std::string(Name(reason))},
          {"count", group.count},
          {"records", std::move(records)}};
}

}  // namespace

absl::StatusOr<directory::Subscriber::Options> SubscriberOptions(const source::AgentConfig& config,
                                                                 bool publish) {
  const source::AgentConfig::SharedDirectory& shared = *config.shared_directory;
  absl::StatusOr<etcd::Client::Options> client = etcd::Load({.endpoints = shared.endpoints,
                                                             .ca = shared.ca,
                                                             .certificate = shared.certificate,
                                                             .key = shared.key,
                                                             .user = shared.user,
                                                             .password_file = shared.password});
  if (!client.ok()) return Annotate(client.status(), "shared_directory");
  client->known_key = shared.prefix;
  directory::Subscriber::Options options{.feed = {.cluster = config.cluster},
                                         .follower = {.client = {}, .prefix = shared.prefix}};
  options.feed.state = shared.state;
  options.feed.publish = publish;
  options.follower.client = *std::move(client);
  return options;
}

void Refused::Set(source::Refusals refusals) {
  std::set<source::Refusal> told;
  for (const auto& [of, group] : refusals.groups()) {
    told.insert(group.told.begin(), group.told.end());
  }
  for (const source::Refusal& refusal : told) {
    if (told_.contains(refusal)) continue;
    log::WriteLimited(log::Level::kWarning, "directory: what a cluster says is refused",
                      Name(refusal.reason),
                      {{"cluster", refusal.cluster},
                       {"key", refusal.key},
                       {"reason", Name(refusal.reason)},
                       {"what", refusal.what}});
  }
  told_ = std::move(told);
  refusals_ = std::move(refusals);
}

std::set<std::string> Refused::Away() const {
  std::set<std::string> away;
  for (const auto& [of, group] : refusals_.groups()) {
    if (of.second == source::RefusalReason::kNoGateway) away.insert(of.first);
  }
  return away;
}

json::object SharedDirectoryJson(const directory::Subscriber::View& view, const Refused& refused) {
  json::array groups;
  for (const auto& [of, group] : refused.refusals().groups()) {
    groups.emplace_back(GroupJson(of.first, of.second, group));
  }
  json::object out{{"in_sync", view.status.ok()},
                   {"since", Rfc3339(view.since)},
                   {"error", std::string(view.status.message())},
                   {"listed", view.listed},
                   {"revision", view.revision},
                   {"endpoint", view.endpoint},
                   {"state_error", std::string(view.state_error.message())},
                   {"refused", std::move(groups)}};
  if (!view.listed && view.kept_at) out["kept_at"] = Rfc3339(*view.kept_at);
  return out;
}

std::vector<admin::Sample> SharedDirectorySamples(const directory::Subscriber::View& view,
                                                  const Refused& refused) {
  std::vector<admin::Sample> samples;
  samples.push_back({.name = "tombolo_directory_in_sync",
                     .help = "1 while the directory is what etcd says.",
                     .value = view.status.ok() ? 1.0 : 0.0});
  for (const auto& [of, group] : refused.refusals().groups()) {
    samples.push_back({.name = "tombolo_directory_refused",
                       .help = "Records of the directory in etcd that do not count.",
                       .labels = {{"cluster", of.first}, {"reason", std::string(Name(of.second))}},
                       .value = static_cast<double>(group.count)});
  }
  return samples;
}

}  // namespace tombolo::agent
