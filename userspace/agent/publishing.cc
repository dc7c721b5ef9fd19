// SPDX-License-Identifier: Apache-2.0
#include "agent/publishing.h"

#include <utility>

#include <boost/json/array.hpp>

#include "base/status_macros.h"

namespace tombolo::agent {

absl::StatusOr<std::unique_ptr<Publishing>> Publishing::Start(const source::AgentConfig& config,
                                                              const FilePtr& file,
                                                              OnSnapshot on_snapshot) {
  ASSIGN_OR_RETURN(directory::Subscriber::Options options, SubscriberOptions(config, true));
  auto publishing = std::unique_ptr<Publishing>(
      new Publishing(config, std::move(options), std::move(on_snapshot)));
  ASSIGN_OR_RETURN(directory::Subscriber::Built first, publishing->subscriber_->Begin(file));
  publishing->SetFile(file);
  publishing->Take(std::move(first));
  publishing->subscriber_->Run([self = publishing.get()](directory::Subscriber::Built built) {
    self->Take(std::move(built));
  });
  return publishing;
}

Publishing::Publishing(const source::AgentConfig& config, directory::Subscriber::Options options,
                       OnSnapshot on_snapshot)
    : cluster_(config.cluster),
      gateway_(config.node),
      on_snapshot_(std::move(on_snapshot)),
      publisher_(std::make_shared<directory::Publisher>(
          directory::Publisher::Options{.client = options.follower.client,
                                        .prefix = options.follower.prefix,
                                        .cluster = config.cluster,
                                        .gateway = config.node})),
      subscriber_(std::make_unique<directory::Subscriber>(std::move(options))) {}

std::optional<source::GatewayRecord> Publishing::Own(const mesh::Snapshot& file) const {
  const mesh::Cluster* cluster = file.FindCluster(cluster_);
  if (cluster == nullptr) return std::nullopt;
  for (const mesh::Gateway& gateway : cluster->gateways) {
    if (gateway.name == gateway_)
      return source::GatewayRecord{
          .address = gateway.address, .zone = gateway.zone, .via = gateway.via};
  }
  return std::nullopt;
}

void Publishing::SetFile(const FilePtr& file) {
  subscriber_->SetFile(file);
  const std::lock_guard lock(mutex_);
  if (publisher_ != nullptr) publisher_->SetGateway(Own(*file));
}

void Publishing::Take(directory::Subscriber::Built built) {
  on_snapshot_(std::move(built.snapshot));
  const std::lock_guard lock(mutex_);
  refused_.Set(std::move(built.refusals));
  if (publisher_ != nullptr) publisher_->SetPublication(std::move(built.publication));
}

void Publishing::Withdraw() {
  const std::lock_guard lock(mutex_);
  if (publisher_ == nullptr) return;
  withdrawn_ =
      std::async(std::launch::async,
                 [publisher = std::exchange(publisher_, nullptr)]() mutable { publisher.reset(); });
}

boost::json::object Publishing::View() const {
  const directory::Subscriber::View view = subscriber_->view();
  const std::lock_guard lock(mutex_);
  boost::json::object out = SharedDirectoryJson(view, refused_);
  if (publisher_ == nullptr) return out;
  const directory::Publisher::View mine = publisher_->view();
  boost::json::array problems(mine.problems.begin(), mine.problems.end());
  out["announced"] = mine.announced;
  out["publisher"] = mine.publisher;
  out["publish_error"] = std::string(mine.error.message());
  out["not_exported"] = std::move(problems);
  return out;
}

std::vector<admin::Sample> Publishing::Samples() const {
  const directory::Subscriber::View view = subscriber_->view();
  const std::lock_guard lock(mutex_);
  return SharedDirectorySamples(view, refused_);
}

std::set<std::string> Publishing::Away() const {
  const std::lock_guard lock(mutex_);
  return refused_.Away();
}

}  // namespace tombolo::agent
