// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "absl/status/statusor.h"
#include "admin/metrics.h"
#include "admin/server.h"
#include "agent/gateway_context.h"
#include "agent/gateway_thread.h"
#include "agent/link_views.h"
#include "agent/mailbox.h"
#include "agent/pace.h"
#include "agent/publishing.h"
#include "base/asio.h"
#include "base/task_group.h"
#include "gateway/node.h"
#include "identity/issuance.h"
#include "identity/store.h"
#include "link/stock.h"
#include "mesh/snapshot.h"
#include "source/agent_config.h"
#include "source/file_watcher.h"

namespace tombolo::agent {

// The agent in the role of a gateway: takes tunnels of other clusters and hands each to a node of
// its own, by nothing but the name in its ClientHello. It captures nothing, needs no privilege, and
// has no keys but, where there are links, its own for their control connections. It runs on the
// control thread's `io`; the data plane is reached only by posts.
class GatewayAgent {
 public:
  // FailedPrecondition or InvalidArgument tells what the operator has to change.
  static absl::StatusOr<std::unique_ptr<GatewayAgent>> Start(asio::io_context& io,
                                                             std::string config_path,
                                                             source::AgentConfig config);

  // Follows changes until Stop(), then drains and returns.
  Awaitable<void> Run();
  // Begins the drain; a second call ends it at once.
  void Stop();
  // Reads everything again, as after a change of a file.
  void Reload();

 private:
  GatewayAgent(asio::io_context& io, std::string config_path, source::AgentConfig config);
  absl::Status SetUp();
  absl::Status StartThreads();
  absl::Status Listen();
  absl::Status StartAdmin();
  void WatchFiles();
  absl::Status ReadDirectory();
  absl::Status StartPublishing();
  Awaitable<void> TakeBuiltInTime();
  void TakeBuilt(std::shared_ptr<mesh::Snapshot> snapshot);
  void TakeSnapshot(std::shared_ptr<mesh::Snapshot> snapshot);
  absl::Status StartIdentity();
  void ReadIdentity();
  void Publish();
  const mesh::Gateway* Own() const;  // in the directory; null: it is not there

  Awaitable<void> Drain();
  Awaitable<bool> DrainedBy(MonotonicTime deadline);
  Awaitable<std::size_t> Running();

  std::vector<std::string> NotReady() const;
  admin::Providers MakeProviders();
  Awaitable<boost::json::value> Status();
  Awaitable<boost::json::value> Tunnels();
  boost::json::array NodesJson();
  boost::json::object Topology();
  LinkViews Links();
  std::vector<admin::Sample> Samples();

  asio::io_context& io_;
  const std::string config_path_;
  source::AgentConfig config_;
  Quotas quotas_;
  link::Stock stock_;
  net::WanOptions wan_;
  gateway::Nodes nodes_;
  mesh::SnapshotPtr file_;      // what the directory file says
  mesh::SnapshotPtr snapshot_;  // with what others say in etcd, where that is used
  Mailbox<std::shared_ptr<mesh::Snapshot>> built_;  // by publishing_'s thread
  Pace pace_;                                       // of what is in built_
  std::unique_ptr<Publishing> publishing_;          // null: others learn of this cluster from files
  std::unique_ptr<identity::Issuance> issuance_;    // null: no identity, or one of files
  identity::StorePtr identities_;                   // null: no identity
  std::size_t routes_ = 0;                          // names that are taken
  WallTime started_at_ = std::chrono::system_clock::now();
  WallTime snapshot_loaded_at_;
  absl::Status config_status_;  // of the newest files; the state in use may be older
  absl::Status directory_status_;
  std::unique_ptr<source::FileWatcher> watcher_;
  std::unique_ptr<admin::Server> admin_;
  admin::Metrics metrics_;
  std::vector<std::unique_ptr<GatewayThread>> threads_;  // the first one keeps the dialed links
  TaskGroup tasks_;
  asio::steady_timer stop_;  // cancelled by Stop()
  int stops_ = 0;
};

}  // namespace tombolo::agent
