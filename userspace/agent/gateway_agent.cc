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
      pace_(io),
      tasks_(io.get_executor()),
      stop_(io, asio::steady_timer::time_point::max()) {}

absl::Status GatewayAgent::SetUp() {
  wan_ = ChooseWanOptions(config_.wan);
  ASSIGN_OR_RETURN(watcher_, source::FileWatcher::Create(io_));
  WatchFiles();
  RETURN_IF_ERROR(ReadDirectory());
  RETURN_IF_ERROR(StartThreads());
  RETURN_IF_ERROR(StartIdentity());
  Publish();
  RETURN_IF_ERROR(Listen());
  // Nobody is told of a gateway that does not listen yet.
  if (config_.shared_directory) RETURN_IF_ERROR(StartPublishing());
  return StartAdmin();
}

absl::Status GatewayAgent::StartPublishing() {
  const auto on_snapshot = [this](std::shared_ptr<mesh::Snapshot> snapshot) {
    if (!built_.Put(std::move(snapshot))) return;
    asio::post(io_, [this] {
      if (stops_ == 0) tasks_.Spawn(TakeBuiltInTime());
    });
  };
  ASSIGN_OR_RETURN(publishing_, Publishing::Start(config_, file_, on_snapshot));
  return absl::OkStatus();
}

Awaitable<void> GatewayAgent::TakeBuiltInTime() {
  const bool due = co_await pace_.Wait();
  if (due) pace_.Do([this] { TakeBuilt(built_.Take()); });
}

void GatewayAgent::TakeBuilt(std::shared_ptr<mesh::Snapshot> snapshot) {
  if (stops_ > 0 || snapshot == snapshot_) return;
  TakeSnapshot(std::move(snapshot));
  Publish();
}

absl::Status GatewayAgent::StartThreads() {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const unsigned count = config_.threads == 0 ? cores : config_.threads;
  const GatewayThread::Shared shared{quotas_, stock_, wan_};
  // Called on the first thread, and not before Publish(), when all of them are there. That one ends
  // before the others do.
  const auto serve_spare = [this, next = std::size_t{0}](Fd socket) mutable {
    auto shared_fd = std::make_shared<Fd>(std::move(socket));
    threads_[next++ % threads_.size()]->Post(
        [shared_fd](GatewayThread& self) { self.ServeSpare(std::move(*shared_fd)); });
  };
  for (unsigned i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(auto thread, i == 0 ? GatewayThread::Start(shared, serve_spare)
                                         : GatewayThread::Start(shared));
    threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

absl::Status GatewayAgent::Listen() {
  ASSIGN_OR_RETURN(const Fd listener, net::Listen(config_.gateway.listen, kBacklog));
  net::ResetOnClose(listener.get());
  // What is accepted inherits all of it.
  net::SetKeepAlive(listener.get());
  net::DelayAcknowledgements(listener.get());
  net::SetWanOptions(listener.get(), wan_);
  for (auto& thread : threads_) {
    ASSIGN_OR_RETURN(Fd copy, DuplicateListener(listener.get()));
    auto shared = std::make_shared<Fd>(std::move(copy));
    thread->Post([shared](GatewayThread& self) { self.AddListener(std::move(*shared)); });
  }
  return absl::OkStatus();
}

const mesh::Gateway* GatewayAgent::Own() const {
  const mesh::Cluster* cluster = file_->FindCluster(config_.cluster);
  if (cluster == nullptr) return nullptr;
  const auto own =
      std::find_if(cluster->gateways.begin(), cluster->gateways.end(),
                   [this](const mesh::Gateway& gateway) { return gateway.name == config_.node; });
  return own == cluster->gateways.end() ? nullptr : &*own;
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
  if (issuance_ != nullptr) co_await issuance_->Stop();
  co_await admin_->Stop();
  // The first one posts to all of them: they run until it has ended, and are there until all have.
  threads_.front()->Join();
  for (auto& thread : threads_) thread->Stop();
  for (auto& thread : threads_) thread->Join();
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
    sum += co_await thread->Ask<std::size_t>([](GatewayThread& self) { return self.Running(); });
  }
  co_return sum;
}

}  // namespace tombolo::agent
