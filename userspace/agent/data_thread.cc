// SPDX-License-Identifier: Apache-2.0
#include "agent/data_thread.h"

#include <cerrno>
#include <random>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <pthread.h>

#include "agent/inbound.h"
#include "agent/outbound.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "policy/authorize.h"

namespace tombolo::agent {
namespace {

namespace proto = tunnel::proto;

// When descriptors have run out, the next try waits for some to come back.
constexpr unsigned kAcceptsPerTurn = 64;
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);

// What a tunnel may carry: always the same pair of identities, service and port.
Connection AsConnection(const tunnel::Tunnel& tunnel) {
  const bool dialed = tunnel.role() == tunnel::Role::kDialer;
  Connection connection;
  connection.source = dialed ? tunnel.info().local : tunnel.info().peer;
  connection.server = dialed ? tunnel.info().peer : tunnel.info().local;
  connection.service = tunnel.service;
  connection.port = tunnel.port;
  return connection;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataThread>> DataThread::Start(const Settings& settings,
                                                              datapath::Datapath& datapath,
                                                              Counters& counters) {
  auto thread = std::unique_ptr<DataThread>(new DataThread(settings, datapath, counters));
  RETURN_IF_ERROR(thread->SetUp());
  thread->thread_ = std::thread([raw = thread.get()] { raw->Run(); });
  return thread;
}

DataThread::DataThread(const Settings& settings, datapath::Datapath& datapath, Counters& counters)
    : settings_(settings), datapath_(datapath), counters_(counters) {}

absl::Status DataThread::SetUp() {
  ASSIGN_OR_RETURN(poller_, net::Poller::Create(io_));
  balancer_ = std::make_unique<balance::Balancer>(std::mt19937_64(std::random_device()()));
  tunnel::Pool::Options options;
  options.idle_limit = settings_.idle_tunnel;
  pool_ = std::make_unique<tunnel::Pool>(io_.get_executor(), options);
  context_ = std::unique_ptr<Context>(
      new Context{settings_, datapath_, counters_, io_, *poller_, buffers_, *pool_, *balancer_,
                  /*world=*/nullptr, /*connections=*/{}, /*accepted_tunnels=*/{}});
  tasks_ = std::make_unique<TaskGroup>(io_.get_executor());
  return absl::OkStatus();
}

DataThread::~DataThread() {
  if (!thread_.joinable()) return;
  Post([](DataThread& self) {
    asio::co_spawn(self.io_, self.ShutDown(), [&self](std::exception_ptr) {
      self.work_.reset();
      self.io_.stop();
    });
  });
  thread_.join();
}

Awaitable<void> DataThread::ShutDown() {
  for (auto& [key, listener] : listeners_) listener->fd.Close();
  listeners_.clear();
  if (tunnel_listener_ != nullptr) tunnel_listener_->fd.Close();
  co_await tasks_->CancelAndJoin();
  co_await pool_->ShutDown();
}

void DataThread::Run() {
  pthread_setname_np(pthread_self(), "tombolo-data");
  io_.run();
}

void DataThread::Post(std::function<void(DataThread&)> task) {
  asio::post(io_, [this, task = std::move(task)] { task(*this); });
}

void DataThread::AddListener(std::uint64_t key, Fd listener, std::uint64_t netns_cookie) {
  auto fd = net::AsyncFd::Adopt(*poller_, std::move(listener), /*exclusive=*/true);
  if (!fd.ok()) {
    log::Error("cannot watch a listener", {{"reason", fd.status()}});
    return;
  }
  auto shared = std::make_shared<Listener>(Listener{*std::move(fd)});
  listeners_[key] = shared;
  tasks_->Spawn(AcceptApplications(std::move(shared), netns_cookie));
}

void DataThread::RemoveListener(std::uint64_t key) {
  const auto found = listeners_.find(key);
  if (found == listeners_.end()) return;
  found->second->fd.Close();
  listeners_.erase(found);
}

void DataThread::AddTunnelListener(Fd listener) {
  auto fd = net::AsyncFd::Adopt(*poller_, std::move(listener), /*exclusive=*/true);
  if (!fd.ok()) {
    log::Error("cannot watch the tunnel listener", {{"reason", fd.status()}});
    return;
  }
  tunnel_listener_ = std::make_shared<Listener>(Listener{*std::move(fd)});
  tasks_->Spawn(AcceptTunnels(tunnel_listener_));
}

// While connections keep coming accept() does not wait; the others get their turn.
Awaitable<void> GiveWay(asio::io_context& io, unsigned& accepted) {
  if (++accepted % kAcceptsPerTurn == 0) co_await asio::post(io, asio::use_awaitable);
}

Awaitable<void> Pause(asio::io_context& io) {
  asio::steady_timer timer(io, kAcceptPause);
  (void)co_await timer.async_wait(kUseTuple);
}

Awaitable<void> DataThread::AcceptApplications(std::shared_ptr<Listener> listener,
                                               std::uint64_t netns_cookie) {
  unsigned accepted = 0;
  for (;;) {
    absl::StatusOr<Fd> client = co_await net::Accept(listener->fd);
    if (client.ok()) {
      tasks_->Spawn(ServeApplication(*context_, *std::move(client), netns_cookie));
      co_await GiveWay(io_, accepted);
    } else if (absl::IsCancelled(client.status()) || ErrnoOf(client.status()) == EBADF) {
      co_return;
    } else {
      context_->counters.dialed_refused.Add(Refusal::kResources);
      co_await Pause(io_);
    }
  }
}

Awaitable<void> DataThread::AcceptTunnels(std::shared_ptr<Listener> listener) {
  unsigned accepted = 0;
  for (;;) {
    absl::StatusOr<Fd> socket = co_await net::Accept(listener->fd);
    if (socket.ok()) {
      tasks_->Spawn(ServeTunnel(*context_, *std::move(socket)));
      co_await GiveWay(io_, accepted);
    } else if (absl::IsCancelled(socket.status()) || ErrnoOf(socket.status()) == EBADF) {
      co_return;
    } else {
      context_->counters.accepted_refused.Add(Refusal::kResources);
      co_await Pause(io_);
    }
  }
}

void DataThread::SetWorld(WorldPtr world) {
  context_->world = std::move(world);
  balancer_->Forget(*context_->world->snapshot);
  Recheck();
}

// A change of policy, of a service's identities or of credentials reaches what is
// running, busy and idle.
void DataThread::Recheck() {
  const World& world = *context_->world;
  for (Connection& connection : context_->connections.all()) {
    if (connection.relay == nullptr) continue;
    absl::Status allowed = StillAllowed(world, connection);
    if (!allowed.ok()) connection.relay->Stop(std::move(allowed), proto::CODE_DENIED);
  }
  const auto stale = [&](const tunnel::Tunnel& tunnel) {
    return world.identities->Find(tunnel.info().local) != tunnel.credentials ||
           !StillAllowed(world, AsConnection(tunnel)).ok();
  };
  RetireAccepted(stale);
  pool_->DiscardIf(stale);
}

void DataThread::Drain() {
  context_->draining = true;
  for (auto& [key, listener] : listeners_) listener->fd.Close();
  listeners_.clear();
  if (tunnel_listener_ != nullptr) tunnel_listener_->fd.Close();
  pool_->DiscardIf([](const tunnel::Tunnel&) { return true; });
  RetireAccepted([](const tunnel::Tunnel&) { return true; });
}

// A retired tunnel ends after the connection that it carries, or now.
void DataThread::RetireAccepted(const std::function<bool(const tunnel::Tunnel&)>& which) {
  std::set<const tunnel::Tunnel*> busy;
  for (const Connection& connection : context_->connections.all()) busy.insert(connection.tunnel);
  for (tunnel::Tunnel* tunnel : context_->accepted_tunnels) {
    if (!which(*tunnel)) continue;
    tunnel->Retire();
    if (!busy.contains(tunnel)) tunnel->stream().CancelReceive();
  }
}

void DataThread::ResetAll() {
  for (Connection& connection : context_->connections.all()) {
    if (connection.relay == nullptr) continue;
    connection.relay->Stop(absl::UnavailableError("the agent is shutting down"),
                           proto::CODE_DRAINING);
  }
}

}  // namespace tombolo::agent
