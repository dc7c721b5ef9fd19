// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/status/statusor.h"
#include "admin/server.h"
#include "agent/agent_directory.h"
#include "agent/balance_views.h"
#include "agent/cgroup.h"
#include "agent/counters.h"
#include "agent/data_thread.h"
#include "agent/enrolment.h"
#include "agent/mailbox.h"
#include "agent/pace.h"
#include "agent/views.h"
#include "base/asio.h"
#include "base/task_group.h"
#include "datapath/datapath.h"
#include "identity/issuance.h"
#include "source/agent_config.h"
#include "source/file_watcher.h"
#include "tls/kernel_tls_probe.h"

namespace tombolo::agent {

// The node agent: puts configuration, directory, identities and kernel together,
// hands data threads what they need, and follows every change. It runs on the
// control thread's `io`; the data plane is reached only by posts.
class Agent {
 public:
  // FailedPrecondition or InvalidArgument tells what the operator has to change.
  // On failure the kernel keeps what it had: pinned programs go on refusing.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(asio::io_context& io, std::string config_path,
                                                      source::AgentConfig config);

  // Follows changes until Stop(), then drains and returns.
  Awaitable<void> Run();
  // Begins the drain; a second call ends it at once.
  void Stop();
  // Reads everything again, as after a change of a file.
  void Reload();

 private:
  Agent(asio::io_context& io, std::string config_path, source::AgentConfig config);
  absl::Status SetUp();
  absl::Status ChooseRelay();
  absl::Status LockInstance();
  absl::Status OpenDatapath();
  void Probe();
  absl::Status StartThreads();
  absl::Status ListenForTunnels();
  absl::Status StartAdmin();

  // Files -> config_, snapshot_, identities_; what is bad keeps its old state.
  void ReadFiles();
  absl::Status ReadDirectory();
  absl::Status TakeFile(std::shared_ptr<mesh::Snapshot> file);
  void TakeSnapshot(std::shared_ptr<mesh::Snapshot> snapshot);
  void FollowSharedDirectory();
  Awaitable<void> TakeBuiltInTime();
  void TakeBuilt(directory::Subscriber::Built built);
  void ReadIdentities();
  void ReadIdentityFiles();
  void TakeIssued();
  // snapshot_, identities_ -> kernel and data threads.
  void Publish();
  void PublishWorld();
  void PublishListeners();
  WorldPtr MakeWorld() const;
  void WatchFiles();

  Awaitable<void> FollowWorkloads();
  void GiveMemoryBack();
  void EndDrains();
  Awaitable<void> Drain();
  Awaitable<bool> DrainedBy(MonotonicTime deadline);
  Awaitable<std::size_t> Running();

  std::vector<std::string> NotReady() const;
  admin::Providers MakeProviders();
  boost::json::object Identities() const;
  Awaitable<boost::json::value> Status();
  Awaitable<BalanceViews> Balance(mesh::SnapshotPtr snapshot);
  Awaitable<boost::json::value> Services();
  Awaitable<boost::json::value> Clusters();
  Awaitable<boost::json::value> Topology();
  boost::json::object CaptureStep(const mesh::Workload& workload) const;
  Awaitable<absl::StatusOr<boost::json::value>> Explain(admin::Query query);
  Awaitable<absl::StatusOr<boost::json::value>> ExplainConnection(std::string id);
  Awaitable<boost::json::value> Connections();
  Awaitable<boost::json::value> Tunnels();
  Awaitable<ThreadSummary> Summary();
  std::string PinDirectory() const;

  asio::io_context& io_;
  const std::string config_path_;
  source::AgentConfig config_;
  Settings settings_;
  Counters counters_;
  ServiceCounterTable services_;
  Quotas quotas_;
  Fd instance_lock_;
  std::unique_ptr<Cgroups> cgroups_;
  std::uint64_t own_cgroup_ = 0;  // 0: nothing to exempt
  std::unique_ptr<datapath::Datapath> datapath_;
  std::unique_ptr<Enrolment> enrolment_;
  std::shared_ptr<const mesh::Snapshot> snapshot_;
  Mailbox<directory::Subscriber::Built> built_;              // by shared_directory_'s thread
  std::unique_ptr<directory::Subscriber> shared_directory_;  // null: the file says everything
  directory::Subscriber::FilePtr file_;                      // that snapshot_ was made of, then
  Pace pace_;                                                // of what is in built_
  absl::flat_hash_map<std::string, World::Served> served_;   // of snapshot_
  bool captured_changed_ = true;  // since the last Publish(), by another snapshot
  Refused refused_;
  std::unique_ptr<identity::Issuance> issuance_;  // null: identities are files
  identity::StorePtr identities_;
  WallTime started_at_ = std::chrono::system_clock::now();
  WallTime snapshot_loaded_at_;
  absl::Status config_status_;  // of the newest files; the state in use may be older
  absl::Status directory_status_;
  absl::Status apply_status_;
  absl::Status probe_status_;
  std::unique_ptr<source::FileWatcher> watcher_;
  std::unique_ptr<admin::Server> admin_;
  admin::Metrics metrics_;
  tls::KernelTlsReport kernel_tls_;  // what the self-test at start has seen
  std::vector<std::unique_ptr<DataThread>> threads_;
  TaskGroup tasks_;
  std::uint64_t handshakes_ = 0;  // done, a moment ago
  std::uint64_t handshakes_at_trim_ = 0;
  asio::steady_timer stop_;  // cancelled by Stop()
  int stops_ = 0;
};

}  // namespace tombolo::agent
