// SPDX-License-Identifier: Apache-2.0
// What the agent's files say: read at the start and whenever they change. A bad one leaves what
// was read before.
#include <utility>

#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "agent/agent.h"
#include "agent/config_reload.h"
#include "agent/issuance_options.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "mesh/snapshot_change.h"
#include "source/directory_file.h"

namespace tombolo::agent {
namespace {

// What was said already about the files of `id`.
absl::Status LoadError(const identity::StorePtr& store, const SpiffeId& id) {
  if (store == nullptr) return absl::OkStatus();
  const auto entry = store->entries().find(id);
  return entry == store->entries().end() ? absl::OkStatus() : entry->second.error;
}

}  // namespace

void Agent::WatchFiles() {
  const source::AgentConfig::Identity& identity = config_.identity;
  if (!identity.authority) {
    watcher_->Watch({config_path_, config_.directory, identity.bundle}, {identity.svids});
    return;
  }
  // A service account's token is replaced all the time, and read when it is needed.
  std::vector<std::string> files{config_path_, config_.directory, identity.authority->trust};
  if (!identity.authority->join_token.empty()) files.push_back(identity.authority->join_token);
  watcher_->Watch(std::move(files), {});
}

absl::Status Agent::ReadDirectory() {
  absl::StatusOr<std::shared_ptr<mesh::Snapshot>> loaded =
      source::LoadDirectory(config_.directory, config_.cluster);
  directory_status_ = loaded.status();
  if (!loaded.ok()) return directory_status_;
  if ((*loaded)->FindNode(config_.cluster, config_.node) == nullptr) {
    directory_status_ = absl::FailedPreconditionError(
        absl::StrCat(config_.directory, ": node '", config_.node, "' of cluster '", config_.cluster,
                     "' is not in the directory"));
    return directory_status_;
  }
  directory_status_ = CheckTrustDomain(config_, **loaded);
  if (!directory_status_.ok()) return directory_status_;
  directory_status_ = TakeFile(*std::move(loaded));
  return directory_status_;
}

// With etcd, the first snapshot is made at once, of what the disk has of it; later ones come.
absl::Status Agent::TakeFile(std::shared_ptr<mesh::Snapshot> file) {
  if (shared_directory_ == nullptr) {
    TakeSnapshot(std::move(file));
  } else if (snapshot_ != nullptr) {
    shared_directory_->SetFile(std::move(file));
  } else {
    ASSIGN_OR_RETURN(directory::Subscriber::Built built, shared_directory_->Begin(std::move(file)));
    refused_.Set(std::move(built.refusals));
    file_ = std::move(built.file);
    TakeSnapshot(std::move(built.snapshot));
  }
  return absl::OkStatus();
}

void Agent::TakeSnapshot(std::shared_ptr<mesh::Snapshot> snapshot) {
  snapshot->version = snapshot_ == nullptr ? 1 : snapshot_->version + 1;
  const mesh::SnapshotChange change =
      snapshot_ == nullptr ? mesh::SnapshotChange{}
                           : mesh::Compare(*snapshot_, *snapshot, config_.cluster, config_.node);
  if (change.served) served_ = ServedBy(*snapshot, config_.cluster, config_.node);
  captured_changed_ = captured_changed_ || change.captured;
  snapshot_ = std::move(snapshot);
  snapshot_loaded_at_ = std::chrono::system_clock::now();
}

void Agent::FollowSharedDirectory() {
  shared_directory_->Run([this](directory::Subscriber::Built built) {
    if (!built_.Put(std::move(built))) return;
    asio::post(io_, [this] {
      if (stops_ == 0) tasks_.Spawn(TakeBuiltInTime());
    });
  });
}

Awaitable<void> Agent::TakeBuiltInTime() {
  const bool due = co_await pace_.Wait();
  if (due) pace_.Do([this] { TakeBuilt(built_.Take()); });
}

void Agent::TakeBuilt(directory::Subscriber::Built built) {
  if (stops_ > 0) return;
  refused_.Set(std::move(built.refusals));
  const bool other_file = std::exchange(file_, built.file) != built.file;
  const bool same = built.snapshot == snapshot_;
  if (same && !other_file) return;
  if (!same) TakeSnapshot(std::move(built.snapshot));
  if (other_file) ReadIdentities();
  log::Debug("directory put together", {{"version", snapshot_->version},
                                        {"clusters", snapshot_->clusters.size()},
                                        {"services", snapshot_->services.size()}});
  // What most changes are about is told to the threads alone: the kernel knows nothing of it.
  const bool enrolled = enrolment_->Update(*snapshot_);
  if (enrolled || captured_changed_ || other_file || !apply_status_.ok()) {
    Publish();
  } else {
    PublishWorld();
  }
}

void Agent::ReadIdentities() {
  if (issuance_ == nullptr) return ReadIdentityFiles();
  issuance_->SetWorkloads(snapshot_->IdentitiesOn(config_.cluster, config_.node));
  issuance_->TryNode();
  identities_ = issuance_->store();
}

// What has been issued since, or another trust bundle.
void Agent::TakeIssued() {
  identities_ = issuance_->store();
  PublishWorld();
}

void Agent::ReadIdentityFiles() {
  const identity::StorePtr before = identities_;
  identities_ = identity::Store::Load({config_.identity.svids, config_.identity.bundle}, *snapshot_,
                                      config_.cluster, config_.node, identities_.get());
  for (const auto& [id, entry] : identities_->entries()) {
    if (!entry.error.ok() && entry.error != LoadError(before, id)) {
      log::Error("SVID not usable", {{"id", id.text()},
                                     {"reason", entry.error},
                                     {"kept_previous", entry.credentials != nullptr}});
    }
  }
}

void Agent::ReadFiles() {
  WatchFiles();  // before reading, so that no change falls between
  config_status_ = ReloadConfig(config_path_, config_);
  WatchFiles();  // it may name other files
  const absl::Status read = ReadDirectory();
  LogDirectory(read, *snapshot_);
  ReadIdentities();
}

void Agent::Reload() {
  if (stops_ > 0) return;
  ReadFiles();
  enrolment_->Update(*snapshot_);
  Publish();
}

WorldPtr Agent::MakeWorld() const {
  auto world = std::make_shared<World>();
  world->deadlines = config_.deadlines;
  world->limits = config_.limits;
  world->snapshot = snapshot_;
  world->identities = identities_;
  world->namespaces = enrolment_->Namespaces();
  world->served = served_;
  world->own_gateways = GatewaysOf(*snapshot_, config_.cluster);
  for (const auto& [name, entry] : enrolment_->entries()) {
    const mesh::Workload* workload = snapshot_->FindWorkload(name);
    if (workload == nullptr) continue;
    if (entry.cgroup_id != 0) world->workload_by_cgroup[entry.cgroup_id] = workload;
    const bool reachable = workload->netns.empty() || entry.ns != nullptr;
    world->homes[name] = {entry.ns, reachable ? absl::OkStatus() : entry.status};
  }
  return world;
}

}  // namespace tombolo::agent
