// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_thread.h"

#include <chrono>

#include "agent/accept_loop.h"
#include "agent/gateway_client.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace tombolo::agent {
namespace {

constexpr Duration kTurn = std::chrono::milliseconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayThread>> GatewayThread::Start(
    const Shared& shared, std::function<void(Fd)> serve_spare) {
  auto thread = std::unique_ptr<GatewayThread>(new GatewayThread(shared.quotas));
  RETURN_IF_ERROR(thread->SetUp(shared, std::move(serve_spare)));
  thread->events_->Start();
  return thread;
}

absl::Status GatewayThread::SetUp(const Shared& shared, std::function<void(Fd)> serve_spare) {
  ASSIGN_OR_RETURN(events_, EventThread::Create());
  tasks_ = std::make_unique<TaskGroup>(events_->io().get_executor());
  context_ = std::unique_ptr<GatewayContext>(
      new GatewayContext{events_->poller(), buffers_, counters_, quotas_, shared.stock, *tasks_});
  context_->wan = shared.wan;
  if (serve_spare != nullptr) {
    dialed_links_ = std::make_unique<DialedLinks>(*context_, std::move(serve_spare));
  }
  return absl::OkStatus();
}

void GatewayThread::Stop() {
  if (events_ != nullptr) events_->Stop([this] { return ShutDown(); });
}

void GatewayThread::Join() {
  Stop();
  if (events_ != nullptr) events_->Join();
}

Awaitable<void> GatewayThread::ShutDown() {
  Drain();
  // A tunnel that begins now could come when all others have ended.
  if (dialed_links_ != nullptr) dialed_links_->DropSpares();
  tasks_->Cancel();
  // A tunnel ends in a turn of its own; one that was opening may just have begun. And what has been
  // posted already has to have its turn.
  do {
    ResetAll();
    EndLinks(*context_, "the gateway is shutting down");
    net::Waiter turn(events_->poller());
    (void)co_await turn.Wait(After(kTurn));
  } while (!context_->tunnels.empty() || tasks_->size() != 0);
}

void GatewayThread::Post(std::function<void(GatewayThread&)> task) {
  events_->Post([this, task = std::move(task)] { task(*this); });
}

void GatewayThread::AddListener(Fd listener) {
  auto fd = net::AsyncFd::Adopt(events_->poller(), std::move(listener), /*exclusive=*/true);
  if (!fd.ok()) {
    log::Error("cannot watch the gateway's listener", {{"reason", fd.status()}});
    return;
  }
  listener_ = std::make_shared<net::AsyncFd>(*std::move(fd));
  AcceptedBy by;
  by.serve = [this](net::Accepted client) {
    tasks_->Spawn(ServeClient(*context_, std::move(client)));
  };
  by.refuse = [this](Fd socket, const absl::Status& why) {
    RefuseClient(*context_, std::move(socket), why);
  };
  tasks_->Spawn(AcceptAll(listener_, quotas_.reserve, std::move(by)));
}

void GatewayThread::ServeSpare(Fd socket) {
  tasks_->Spawn(agent::ServeSpare(*context_, std::move(socket)));
}

std::vector<DialedLinkView> GatewayThread::dialed_links() const {
  return dialed_links_ == nullptr ? std::vector<DialedLinkView>() : dialed_links_->Views();
}

DialedLinkCounts GatewayThread::dialed_counts() const {
  return dialed_links_ == nullptr ? DialedLinkCounts() : dialed_links_->counts();
}

void GatewayThread::SetWorld(GatewayWorldPtr world) {
  context_->world = std::move(world);
  CheckLinks(*context_);
  if (dialed_links_ != nullptr) dialed_links_->Update();
}

void GatewayThread::Drain() {
  context_->draining = true;
  if (listener_ != nullptr) listener_->Close();
  EndLinks(*context_, "draining");
  if (dialed_links_ != nullptr) dialed_links_->Drain();
}

std::size_t GatewayThread::Running() const {
  const std::size_t dialed = dialed_links_ == nullptr ? 0 : dialed_links_->up();
  return context_->tunnels.size() + context_->opening + context_->accepted_links.size() + dialed;
}

void GatewayThread::ResetAll() {
  for (GatewayTunnel& tunnel : context_->tunnels) {
    tunnel.mover->Stop(absl::CancelledError("the gateway is shutting down"));
  }
}

}  // namespace tombolo::agent
