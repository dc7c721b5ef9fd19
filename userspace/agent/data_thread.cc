// SPDX-License-Identifier: Apache-2.0
#include "agent/data_thread.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/accept_loop.h"
#include "agent/accepted_tunnel.h"
#include "agent/cluster_drain.h"
#include "agent/idle_tunnels.h"
#include "agent/outbound.h"
#include "agent/tunnel_end.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "policy/authorize.h"

namespace tombolo::agent {
namespace {

namespace proto = tunnel::proto;

constexpr Duration kTurn = std::chrono::milliseconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<DataThread>> DataThread::Start(const Settings& settings,
                                                              datapath::Datapath& datapath,
                                                              Counters& counters,
                                                              ServiceCounterTable& services,
                                                              Quotas& quotas) {
  auto thread =
      std::unique_ptr<DataThread>(new DataThread(settings, datapath, counters, services, quotas));
  RETURN_IF_ERROR(thread->SetUp());
  thread->events_->Start();
  return thread;
}

DataThread::DataThread(const Settings& settings, datapath::Datapath& datapath, Counters& counters,
                       ServiceCounterTable& services, Quotas& quotas)
    : settings_(settings),
      datapath_(datapath),
      counters_(counters),
      services_(services),
      quotas_(quotas) {}

absl::Status DataThread::SetUp() {
  ASSIGN_OR_RETURN(events_, EventThread::Create());
  poller_ = &events_->poller();
  ASSIGN_OR_RETURN(auto own, net::NetworkNamespace::OfThisThread());  // every thread's
  own_namespace_ = std::make_unique<net::NetworkNamespace>(std::move(own));
  dials_ = std::make_unique<DialSlots>(*poller_);
  balancer_ = std::make_unique<balance::Balancer>(balance::Place{settings_.cluster, settings_.node},
                                                  std::mt19937_64(std::random_device()()));
  tunnel::Pool::Options options;
  options.idle_limit = settings_.idle_tunnel;
  options.on_protocol_error = [this](const tunnel::Tunnel& tunnel, const absl::Status& why) {
    ReportEnd(counters_, tunnel, why);
  };
  options.ping = settings_.ping;
  options.on_round_trip = [this](const tunnel::Tunnel& tunnel, Duration took) {
    OnAnswer(tunnel, took);
  };
  options.on_way_dead = [this](const tunnel::Tunnel& tunnel) { OnWayDead(tunnel); };
  tasks_ = std::make_unique<TaskGroup>(events_->io().get_executor());
  pool_ = std::make_unique<tunnel::Pool>(*poller_, std::move(options));
  context_ = std::unique_ptr<Context>(new Context{settings_,
                                                  datapath_,
                                                  counters_,
                                                  quotas_,
                                                  services_,
                                                  *poller_,
                                                  buffers_,
                                                  {buffers_, settings_.kernel_tls},
                                                  *dials_,
                                                  *pool_,
                                                  *balancer_,
                                                  *own_namespace_,
                                                  *tasks_,
                                                  /*world=*/nullptr,
                                                  /*local_endpoints=*/{},
                                                  /*connections=*/{},
                                                  /*accepted_tunnels=*/{}});
  return absl::OkStatus();
}

void DataThread::OnAnswer(const tunnel::Tunnel& tunnel, Duration took) {
  const MonotonicTime now = std::chrono::steady_clock::now();
  const absl::string_view cluster = tunnel.info().peer.name().cluster;
  balancer_->OnRoundTrip(cluster, took, now);
  const auto way = net::SocketAddress::Parse(tunnel.peer_address);
  if (way.ok()) balancer_->ObserveWayAlive(cluster, *way, now);
}

void DataThread::OnWayDead(const tunnel::Tunnel& tunnel) {
  Add(counters_.dead_ways);
  log::WriteLimited(log::Level::kWarning, "idle tunnels got no answer", "",
                    {{"peer", tunnel.peer_address}, {"peer_id", tunnel.info().peer.text()}});
  const auto way = net::SocketAddress::Parse(tunnel.peer_address);
  if (!way.ok()) return;
  balancer_->ObserveWayDead(tunnel.info().peer.name().cluster, *way,
                            std::chrono::steady_clock::now());
}

void DataThread::Stop() {
  if (events_ != nullptr) events_->Stop([this] { return ShutDown(); });
}

DataThread::~DataThread() {
  Stop();
  if (events_ != nullptr) events_->Join();
}

Awaitable<void> DataThread::ShutDown() {
  Drain();  // so that no tunnel waits for another connection
  tasks_->Cancel();
  // A connection ends in a turn of its own; one that was opening may just have begun.
  while (!context_->connections.all().empty() || tasks_->size() != 0) {
    StopRelays(absl::CancelledError("cancelled"), proto::CODE_UNSPECIFIED);
    net::Waiter turn(*poller_);
    (void)co_await turn.Wait(After(kTurn));
  }
  co_await pool_->ShutDown();
}

void DataThread::Post(std::function<void(DataThread&)> task) {
  events_->Post([this, task = std::move(task)] { task(*this); });
}

void DataThread::AddListener(std::uint64_t key, Fd listener, std::uint64_t netns_cookie) {
  auto fd = net::AsyncFd::Adopt(*poller_, std::move(listener), /*exclusive=*/true);
  if (!fd.ok()) {
    log::Error("cannot watch a listener", {{"reason", fd.status()}});
    return;
  }
  auto shared = std::make_shared<net::AsyncFd>(*std::move(fd));
  listeners_[key] = shared;
  AcceptedBy by;
  by.serve = [this, netns_cookie](net::Accepted client) {
    tasks_->Spawn(ServeApplication(*context_, std::move(client.socket), netns_cookie));
  };
  by.refuse = [this, netns_cookie](Fd client, absl::Status why) {
    RefuseApplication(*context_, std::move(client), netns_cookie, std::move(why));
  };
  tasks_->Spawn(AcceptAll(std::move(shared), quotas_.reserve, std::move(by)));
}

void DataThread::RemoveListener(std::uint64_t key) {
  const auto found = listeners_.find(key);
  if (found == listeners_.end()) return;
  found->second->Close();
  listeners_.erase(found);
}

void DataThread::AddTunnelListener(Fd listener) {
  auto fd = net::AsyncFd::Adopt(*poller_, std::move(listener), /*exclusive=*/true);
  if (!fd.ok()) {
    log::Error("cannot watch the tunnel listener", {{"reason", fd.status()}});
    return;
  }
  tunnel_listener_ = std::make_shared<net::AsyncFd>(*std::move(fd));
  AcceptedBy by;
  by.serve = [this](net::Accepted peer) {
    tasks_->Spawn(ServeTunnel(*context_, std::move(peer.socket)));
  };
  by.refuse = [this](Fd socket, absl::Status why) {
    RefuseTunnel(*context_, std::move(socket), std::move(why));
  };
  tasks_->Spawn(AcceptAll(tunnel_listener_, quotas_.reserve, std::move(by)));
}

void DataThread::SetWorld(WorldPtr world) {
  context_->world = std::move(world);
  balancer_->SetSnapshot(context_->world->snapshot, std::chrono::steady_clock::now());
  services_.Forget();
  context_->local_endpoints.Forget(std::chrono::steady_clock::now());
  Recheck();
}

// A change of policy, of a service's identities or of credentials reaches what is
// running, busy and idle; a cluster that drains is rid of what is idle.
void DataThread::Recheck() {
  const World& world = *context_->world;
  for (Connection& connection : context_->connections.all()) {
    if (connection.relay == nullptr) continue;
    absl::Status allowed = StillAllowed(world, connection);
    if (!allowed.ok()) connection.relay->Stop(std::move(allowed), proto::CODE_DENIED);
  }
  RetireAccepted([&](const tunnel::Tunnel& tunnel) { return IsStale(world, tunnel); });
  pool_->DiscardIf([&](const tunnel::Tunnel& tunnel) { return IsOfNoUse(*context_, tunnel); });
}

void DataThread::Drain() {
  context_->draining = true;
  for (auto& [key, listener] : listeners_) listener->Close();
  listeners_.clear();
  if (tunnel_listener_ != nullptr) tunnel_listener_->Close();
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

void DataThread::EndConnectionsTo(const std::string& cluster, MonotonicTime begun) {
  for (Connection& connection : context_->connections.all()) {
    if (connection.relay == nullptr || !EndsWithDrain(connection, cluster, begun)) continue;
    connection.relay->Stop(absl::UnavailableError(absl::StrCat("the deadline of cluster '", cluster,
                                                               "', which drains, has passed")),
                           proto::CODE_DRAINING);
  }
}

void DataThread::ResetAll() {
  StopRelays(absl::UnavailableError("the agent is shutting down"), proto::CODE_DRAINING);
}

void DataThread::StopRelays(const absl::Status& why, proto::Code code) {
  for (Connection& connection : context_->connections.all()) {
    if (connection.relay != nullptr) connection.relay->Stop(why, code);
  }
}

}  // namespace tombolo::agent
