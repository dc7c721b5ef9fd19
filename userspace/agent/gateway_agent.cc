// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_agent.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "agent/accept_loop.h"
#include "agent/config_reload.h"
#include "agent/drain.h"
#include "agent/wan.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "source/directory_file.h"

namespace tombolo::agent {
namespace {

constexpr int kBacklog = 4096;
constexpr Duration kLastResets = std::chrono::seconds(3);

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayAgent>> GatewayAgent::Start(asio::io_context& io,
                                                                  std::string config_path,
                                                                  source::AgentConfig config) {
  auto agent = std::unique_ptr<GatewayAgent>(
      new GatewayAgent(io, std::move(config_path), std::move(config)));
  RETURN_IF_ERROR(agent->SetUp());
  return agent;
}

GatewayAgent::GatewayAgent(asio::io_context& io, std::string config_path,
                           source::AgentConfig config)
    : io_(io),
      config_path_(std::move(config_path)),
      config_(std::move(config)),
      tasks_(io.get_executor()),
      stop_(io, asio::steady_timer::time_point::max()) {}

absl::Status GatewayAgent::SetUp() {
  ASSIGN_OR_RETURN(watcher_, source::FileWatcher::Create(io_));
  WatchFiles();
  RETURN_IF_ERROR(ReadDirectory());
  RETURN_IF_ERROR(StartThreads());
  Publish();
  RETURN_IF_ERROR(Listen());
  // Nobody is told of a gateway that does not listen yet.
  if (config_.shared_directory) RETURN_IF_ERROR(StartPublishing());
  return StartAdmin();
}

absl::Status GatewayAgent::StartPublishing() {
  const auto take = [this] {
    std::shared_ptr<mesh::Snapshot> snapshot = built_.Take();
    if (stops_ > 0 || snapshot == snapshot_) return;
    TakeSnapshot(std::move(snapshot));
    Publish();
  };
  const auto on_snapshot = [this, take](std::shared_ptr<mesh::Snapshot> snapshot) {
    if (built_.Put(std::move(snapshot))) asio::post(io_, take);
  };
  ASSIGN_OR_RETURN(publishing_, Publishing::Start(config_, file_, on_snapshot));
  return absl::OkStatus();
}

absl::Status GatewayAgent::StartThreads() {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const unsigned count = config_.threads == 0 ? cores : config_.threads;
  for (unsigned i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(auto thread, GatewayThread::Start(quotas_));
    threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

absl::Status GatewayAgent::Listen() {
  ASSIGN_OR_RETURN(const Fd listener, net::Listen(config_.gateway.listen, kBacklog));
  net::ResetOnClose(listener.get());
  // What is accepted inherits them.
  net::SetWanOptions(listener.get(), ChooseWanOptions(config_.wan));
  for (auto& thread : threads_) {
    ASSIGN_OR_RETURN(Fd copy, DuplicateListener(listener.get()));
    auto shared = std::make_shared<Fd>(std::move(copy));
    thread->Post([shared](GatewayThread& self) { self.AddListener(std::move(*shared)); });
  }
  return absl::OkStatus();
}

void GatewayAgent::WatchFiles() { watcher_->Watch({config_path_, config_.directory}, {}); }

absl::Status GatewayAgent::ReadDirectory() {
  absl::StatusOr<std::shared_ptr<mesh::Snapshot>> loaded =
      source::LoadDirectory(config_.directory, config_.cluster);
  directory_status_ = loaded.status();
  if (!loaded.ok()) return directory_status_;
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

const mesh::Gateway* GatewayAgent::Own() const {
  const mesh::Cluster* cluster = file_->FindCluster(config_.cluster);
  if (cluster == nullptr) return nullptr;
  const auto own =
      std::find_if(cluster->gateways.begin(), cluster->gateways.end(),
                   [this](const mesh::Gateway& gateway) { return gateway.name == config_.node; });
  return own == cluster->gateways.end() ? nullptr : &*own;
}

void GatewayAgent::Publish() {
  const mesh::Gateway* own = Own();
  auto world = std::make_shared<GatewayWorld>(
      GatewayWorld{config_.deadlines, config_.limits, own == nullptr ? "" : own->zone,
                   gateway::Routes(*snapshot_, config_.cluster, nodes_)});
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
  WatchFiles();  // it may name another directory
  const absl::Status read = ReadDirectory();
  LogDirectory(read, *snapshot_);
  Publish();
}

Awaitable<void> GatewayAgent::Run() {
  tasks_.Spawn(FollowChanges(*watcher_, [this] { Reload(); }));
  log::Info("gateway started", {{"cluster", config_.cluster},
                                {"node", config_.node},
                                {"listen", config_.gateway.listen.ToString()},
                                {"threads", threads_.size()},
                                {"ready", NotReady().empty()}});
  while (stops_ == 0) {
    (void)co_await stop_.async_wait(kUseTuple);
  }
  co_await tasks_.CancelAndJoin();
  co_await Drain();
  co_await admin_->Stop();
  for (auto& thread : threads_) thread->Stop();  // all at once, before the first is joined
  threads_.clear();
  log::Info("gateway stopped");
}

void GatewayAgent::Stop() {
  ++stops_;
  stop_.cancel();
}

// New tunnels find nobody here and go to another gateway; running ones have until the deadline.
Awaitable<void> GatewayAgent::Drain() {
  log::Info("draining");
  if (publishing_ != nullptr) publishing_->Withdraw();
  for (auto& thread : threads_) thread->Post([](GatewayThread& self) { self.Drain(); });
  const bool drained = co_await DrainedBy(After(config_.deadlines.drain));
  if (drained) co_return;
  log::Warning("drain deadline reached, resetting what is left");
  for (auto& thread : threads_) thread->Post([](GatewayThread& self) { self.ResetAll(); });
  (void)co_await DrainedBy(After(kLastResets));
}

Awaitable<bool> GatewayAgent::DrainedBy(MonotonicTime deadline) {
  const auto enough = [this, before = stops_] { return stops_ != before; };
  const auto left = [this] { return Running(); };
  co_return co_await WaitUntilNoneLeft(io_, deadline, left, enough);
}

Awaitable<std::size_t> GatewayAgent::Running() {
  std::size_t sum = 0;
  for (auto& thread : threads_) {
    sum += co_await thread->Ask<std::size_t>(
        [](GatewayThread& self) { return self.context().tunnels.size() + self.context().opening; });
  }
  co_return sum;
}

}  // namespace tombolo::agent
