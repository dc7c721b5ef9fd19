// SPDX-License-Identifier: Apache-2.0
// What a gateway's files say: read at the start and whenever they change. A bad one leaves what was
// read before.
#include <algorithm>
#include <utility>

#include "agent/config_reload.h"
#include "agent/gateway_agent.h"
#include "agent/issuance_options.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "source/directory_file.h"

namespace tombolo::agent {
namespace {

// Why there is none; OK also when nothing was wanted.
absl::Status ErrorOf(const identity::StorePtr& store) {
  if (store == nullptr) return absl::OkStatus();
  for (const auto& [id, entry] : store->entries()) {
    if (!entry.error.ok()) return entry.error;
  }
  return absl::OkStatus();
}

}  // namespace

void GatewayAgent::WatchFiles() {
  std::vector<std::string> files{config_path_, config_.directory};
  std::vector<std::string> directories;
  const source::AgentConfig::Identity& identity = config_.identity;
  if (identity.authority) {
    files.push_back(identity.authority->trust);
    if (!identity.authority->join_token.empty()) files.push_back(identity.authority->join_token);
  } else if (identity.configured()) {
    files.push_back(identity.bundle);
    directories.push_back(identity.svid);
  }
  watcher_->Watch(std::move(files), std::move(directories));
}

absl::Status GatewayAgent::ReadDirectory() {
  absl::StatusOr<std::shared_ptr<mesh::Snapshot>> loaded =
      source::LoadDirectory(config_.directory, config_.cluster);
  directory_status_ = loaded.status();
  if (directory_status_.ok()) directory_status_ = CheckTrustDomain(config_, **loaded);
  if (!directory_status_.ok()) return directory_status_;
  file_ = *loaded;
  if (publishing_ != nullptr) {
    publishing_->SetFile(file_);
  } else {
    TakeSnapshot(*std::move(loaded));
  }
  if (Own() == nullptr) {
    log::Warning("this gateway is not in the directory, so nobody is sent to it",
                 {{"cluster", config_.cluster}, {"node", config_.node}});
  }
  return absl::OkStatus();
}

void GatewayAgent::TakeSnapshot(std::shared_ptr<mesh::Snapshot> snapshot) {
  snapshot->version = snapshot_ == nullptr ? 1 : snapshot_->version + 1;
  snapshot_ = std::move(snapshot);
  snapshot_loaded_at_ = std::chrono::system_clock::now();
}

// An authority that does not answer is no error: until it does there are no links.
absl::Status GatewayAgent::StartIdentity() {
  if (config_.identity.authority) {
    ASSIGN_OR_RETURN(issuance_,
                     identity::Issuance::Create(io_.get_executor(), IssuanceOptions(config_)));
    issuance_->Run([this] {
      identities_ = issuance_->store();
      Publish();
    });
  }
  ReadIdentity();
  return absl::OkStatus();
}

void GatewayAgent::ReadIdentity() {
  if (issuance_ != nullptr) {
    issuance_->TryNode();
    identities_ = issuance_->store();
    return;
  }
  const source::AgentConfig::Identity& files = config_.identity;
  const auto id = SpiffeId::ForGateway(snapshot_->trust_domain, config_.cluster, config_.node);
  if (!files.configured() || !id.ok()) {
    identities_ = nullptr;
    return;
  }
  const absl::Status before = ErrorOf(identities_);
  identities_ = identity::Store::LoadOne(files.svid, files.bundle, *id, identities_.get());
  const absl::Status error = ErrorOf(identities_);
  if (!error.ok() && error != before) {
    log::Error("SVID not usable", {{"id", id->text()},
                                   {"reason", error},
                                   {"kept_previous", identities_->Find(*id) != nullptr}});
  }
}

void GatewayAgent::Publish() {
  const mesh::Gateway* own = Own();
  auto world = std::make_shared<GatewayWorld>(
      GatewayWorld{config_.deadlines, config_.limits, own == nullptr ? "" : own->zone,
                   gateway::Routes(*snapshot_, config_.cluster, nodes_),
                   LinkRules(*snapshot_, config_, identities_)});
  routes_ = world->routes.size();
  for (auto& thread : threads_) {
    thread->Post([world](GatewayThread& self) { self.SetWorld(world); });
  }
  nodes_.DropUnused();
}

void GatewayAgent::Reload() {
  if (stops_ > 0) return;
  WatchFiles();  // before reading, so that no change falls between
  config_status_ = ReloadConfig(config_path_, config_);
  WatchFiles();  // it may name other files
  const absl::Status read = ReadDirectory();
  LogDirectory(read, *snapshot_);
  ReadIdentity();
  Publish();
}

}  // namespace tombolo::agent
