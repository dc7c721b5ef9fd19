// SPDX-License-Identifier: Apache-2.0
#include "agent/dialed_links.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "agent/gateway_context.h"
#include "agent/gateway_dial.h"
#include "base/backoff.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "link/refill.h"

namespace tombolo::agent {
namespace {

// What is old at the other side may still be there when its replacement comes.
constexpr std::size_t kMostSpares = std::size_t{2} * link::Refill::kMost;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

// Of the certificates of both sides.
Duration Left(const tls::SessionInfo& info) {
  const WallTime end = std::min(info.peer_not_after, info.local_not_after);
  return std::chrono::duration_cast<Duration>(end - std::chrono::system_clock::now());
}

}  // namespace

// Watched without a coroutine: the first byte, or the end, is an edge.
class DialedLinks::IdleSpare final : private net::EdgeListener {
 public:
  IdleSpare(DialedLinks& owner, Link& link, net::AsyncFd socket, AddressShare share)
      : owner_(owner), link_(link), share_(std::move(share)), socket_(std::move(socket)) {
    socket_.SetListener(this);
  }
  // May destroy it.
  void Look() {
    char byte;
    const ssize_t got = recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return socket_.ClearReadable();
    owner_.OnSpare(link_, *this, got > 0);
  }
  Fd Release() {
    socket_.SetListener(nullptr);
    return socket_.Release();
  }

 private:
  void OnEdge() override { Look(); }

  DialedLinks& owner_;
  Link& link_;
  const AddressShare share_;  // of the gateway's connections
  net::AsyncFd socket_;
};

struct DialedLinks::Link {
  Link(LinkTarget to, net::Poller& poller)
      : target(std::move(to)), pause(poller), renewed(poller) {}

  const LinkTarget target;
  bool wanted = true;
  ChannelPtr channel;                   // null: it is down
  MonotonicTime renew_at{}, ends_at{};  // channel
  bool renewing = false;                // a task makes `next`
  ChannelPtr next;
  // Whether another spare may be opened.
  bool MayOpen(const DialedLinkPace& pace) const {
    return spares.size() + opening < kMostSpares &&
           (wasted < pace.most_wasted || Now() - wasted_since > pace.wasted_window);
  }
  void Waste(const DialedLinkPace& pace) {
    if (Now() - wasted_since > pace.wasted_window) {
      wasted_since = Now();
      wasted = 0;
    }
    ++wasted;
  }

  std::size_t opening = 0;  // spares
  int wasted = 0;           // spares that came to nothing, ...
  MonotonicTime wasted_since{};
  std::list<IdleSpare> spares;
  net::Waiter pause, renewed;
};

DialedLinks::DialedLinks(GatewayContext& context, std::function<void(Fd)> serve,
                         DialedLinkPace pace)
    : context_(context), serve_(std::move(serve)), pace_(pace) {}

DialedLinks::~DialedLinks() = default;

bool DialedLinks::Wanted(const Link& link) const { return !draining_ && link.wanted; }

void DialedLinks::Update() {
  const LinkRules& rules = context_.world->links;
  const tls::CredentialsPtr credentials = rules.Credentials();
  const bool others = std::exchange(credentials_, credentials) != credentials;
  for (auto& [target, link] : links_) {
    link->wanted = std::ranges::find(rules.targets, target) != rules.targets.end();
    if (link->channel != nullptr) link->channel->Interrupt();  // Hold() looks whether it may go on
    // What has failed may work now.
    if (others || !link->wanted) link->pause.Wake();
  }
  if (draining_) return;
  for (const LinkTarget& target : rules.targets) {
    const auto [at, is_new] = links_.try_emplace(target);
    if (!is_new) continue;
    at->second = std::make_shared<Link>(target, context_.poller);
    {
      const std::lock_guard lock(mutex_);
      views_[target] = {.target = target, .since = Now()};
    }
    context_.tasks.Spawn(Keep(at->second));
  }
}

void DialedLinks::Drain() {
  if (std::exchange(draining_, true)) return;
  for (auto& [target, link] : links_) {
    if (link->channel != nullptr) link->channel->Interrupt();
    link->pause.Wake();
    link->renewed.Wake();
  }
}

void DialedLinks::DropSpares() {
  dropping_ = true;
  for (auto& [target, link] : links_) link->spares.clear();
}

std::size_t DialedLinks::up() const {
  return static_cast<std::size_t>(std::ranges::count_if(links_, [](const auto& entry) {
    return entry.second->channel != nullptr || entry.second->renewing;
  }));
}

std::vector<DialedLinkView> DialedLinks::Views() const {
  const std::lock_guard lock(mutex_);
  std::vector<DialedLinkView> views;
  for (const auto& [target, view] : views_) views.push_back(view);
  return views;
}

DialedLinkCounts DialedLinks::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void DialedLinks::Note(const Link& link, const std::function<void(DialedLinkView&)>& change) {
  const std::lock_guard lock(mutex_);
  const auto view = views_.find(link.target);
  if (view != views_.end()) change(view->second);
}

Awaitable<void> DialedLinks::Keep(LinkPtr link) {
  Backoff backoff(pace_.first_pause, pace_.longest_pause);
  while (Wanted(*link)) {
    const MonotonicTime begun = Now();
    Note(*link, [](DialedLinkView& view) {
      view.next_dial.reset();
      ++view.attempts;
    });
    const absl::Status ended = co_await Hold(link);
    const bool was_up = std::exchange(link->channel, nullptr) != nullptr;
    const bool lost = was_up && absl::IsUnavailable(ended);
    if (!draining_) link->spares.clear();
    Note(*link, [&](DialedLinkView& view) {
      if (was_up) view.since = Now();
      view.up = false;
      view.spares = link->spares.size();
      view.error = std::string(ended.message());
      if (!lost) return;
      ++view.lost;
      ++counts_.lost;
    });
    if (!Wanted(*link)) break;
    log::WriteLimited(log::Level::kWarning, was_up ? "link lost" : "link not made", "",
                      {{"cluster", link->target.cluster},
                       {"gateway", link->target.gateway},
                       {"address", link->target.address.ToString()},
                       {"reason", ended}});
    if (Now() - begun > pace_.lasting) backoff.Reset();
    co_await EndRenewal(*link);
    const MonotonicTime next = After(backoff.Next());
    Note(*link, [next](DialedLinkView& view) { view.next_dial = next; });
    (void)co_await link->pause.Wait(next);
  }
  co_await EndRenewal(*link);
  if (draining_) co_return;
  link->spares.clear();
  {
    const std::lock_guard lock(mutex_);
    views_.erase(link->target);
  }
  links_.erase(link->target);
  // It may have come back meanwhile.
  Update();
}

Awaitable<absl::StatusOr<DialedLinks::ChannelPtr>> DialedLinks::Connect(LinkTarget target,
                                                                        bool renews) {
  const GatewayWorldPtr world = context_.world;
  const tls::CredentialsPtr own = world->links.Credentials();
  if (own == nullptr) {
    co_return absl::FailedPreconditionError(
        "this gateway has no valid SVID, by which the other one would know it");
  }
  CO_ASSIGN_OR_RETURN(SpiffeId expected, SpiffeId::ForGateway(world->links.id.trust_domain(),
                                                              target.cluster, target.gateway));
  CO_ASSIGN_OR_RETURN(net::AsyncFd socket, co_await Dial(context_, target.address, Way::kWan,
                                                         After(world->deadlines.dial)));
  const MonotonicTime deadline = After(world->deadlines.handshake);
  CO_ASSIGN_OR_RETURN(
      tls::Session session,
      co_await tls::HandshakeAsClient(std::move(socket), own, LinkServerName(target.cluster),
                                      std::move(expected), tls::RecordSettings(context_.buffers),
                                      deadline, tls::Protocol::kLink));
  auto channel = std::make_unique<link::Channel>(std::move(session), world->deadlines.ping,
                                                 world->deadlines.ping);
  CO_RETURN_IF_ERROR(
      channel->Post(link::Hello{.most_spares = link::Refill::kMost, .renews = renews}));
  CO_RETURN_IF_ERROR((co_await channel->ReceiveHello(deadline)).status());
  co_return channel;
}

void DialedLinks::Take(Link& link, ChannelPtr channel) {
  link.channel = std::move(channel);
  const Duration left = Left(link.channel->info());
  // Long before the certificates of either side end, as others will have been issued by then.
  const auto part = std::chrono::duration_cast<Duration>(left * pace_.life);
  link.renew_at = After(std::max(part, pace_.least_life));
  link.ends_at = After(left);
  Note(link, [&](DialedLinkView& view) { view.heard_at = link.channel->heard_at(); });
}

// By the world of now: it may be another one than when it was dialled.
absl::Status DialedLinks::MayGoOn(const Link& link) const {
  if (draining_) return absl::CancelledError("draining");
  if (!link.wanted) return absl::CancelledError("not configured any more");
  if (Now() >= link.ends_at) return absl::UnauthenticatedError("a certificate has expired");
  const tls::SessionInfo& info = link.channel->info();
  return context_.world->links.CheckIdentities(info.peer, info.peer_serial);
}

// Until it ends. The channel is set if it was up.
Awaitable<absl::Status> DialedLinks::Hold(LinkPtr link) {
  CO_ASSIGN_OR_RETURN(ChannelPtr first, co_await Connect(link->target, /*renews=*/false));
  Take(*link, std::move(first));
  Note(*link, [](DialedLinkView& view) {
    view.up = true;
    view.since = Now();
    view.error.clear();
  });
  log::Info("link made", {{"cluster", link->target.cluster},
                          {"gateway", link->target.gateway},
                          {"address", link->target.address.ToString()}});
  for (;;) {
    if (const absl::Status may = MayGoOn(*link); !may.ok()) {
      if (!draining_) link->spares.clear();
      co_await link->channel->Close(std::string(may.message()));
      co_return may;
    }
    const MonotonicTime until =
        link->renewing ? link->ends_at : std::min(link->renew_at, link->ends_at);
    const absl::StatusOr<link::Message> message = co_await link->channel->Receive(until);
    if (message.ok() && std::holds_alternative<link::Offer>(*message)) {
      OpenSpares(link, std::get<link::Offer>(*message));
    } else if (link->next != nullptr) {
      context_.tasks.Spawn(CloseOther(std::move(link->channel), "renewed"));
      Take(*link, std::move(link->next));
    } else if (absl::IsDeadlineExceeded(message.status())) {
      if (link->renewing || Now() >= link->ends_at) continue;
      link->renewing = true;
      context_.tasks.Spawn(Renew(link));
    } else if (!absl::IsCancelled(message.status())) {
      // The other side lets the old one go as soon as it has the new one.
      const bool renewed = co_await Renewed(*link);
      if (renewed) continue;
      if (!message.ok()) co_return message.status();
      if (const auto* goodbye = std::get_if<link::GoAway>(&*message)) {
        co_return absl::CancelledError(goodbye->why);
      }
      co_return absl::InvalidArgumentError("link: an unexpected message");
    }
  }
}

Awaitable<bool> DialedLinks::Renewed(Link& link) {
  if (link.renewing) (void)co_await link.renewed.Wait();
  if (link.next == nullptr) co_return false;
  Take(link, std::move(link.next));
  co_return true;
}

// The control connection once more, by the certificates of now. Spares stay.
Awaitable<void> DialedLinks::Renew(LinkPtr link) {
  absl::StatusOr<ChannelPtr> fresh = co_await Connect(link->target, /*renews=*/true);
  link->renewing = false;
  if (fresh.ok()) {
    link->next = *std::move(fresh);
  } else {
    link->renew_at = After(pace_.least_life);
    log::WriteLimited(log::Level::kWarning, "link not renewed", "",
                      {{"cluster", link->target.cluster},
                       {"gateway", link->target.gateway},
                       {"reason", fresh.status()}});
  }
  link->renewed.Wake();
  if (link->channel != nullptr) link->channel->Interrupt();
}

// After its end: what was made to go on with goes, too.
Awaitable<void> DialedLinks::EndRenewal(Link& link) {
  while (link.renewing) {
    (void)co_await link.renewed.Wait();
  }
  if (link.next != nullptr) co_await CloseOther(std::move(link.next), "the link has ended");
}

Awaitable<void> DialedLinks::CloseOther(ChannelPtr other, std::string why) {
  co_await other->Close(std::move(why));
}

void DialedLinks::OpenSpares(const LinkPtr& link, const link::Offer& offer) {
  if (!Wanted(*link)) return;
  for (const link::Token& token : offer.tokens) {
    if (!link->MayOpen(pace_)) return;
    ++link->opening;
    context_.tasks.Spawn(OpenSpare(link, token));
  }
}

Awaitable<void> DialedLinks::OpenSpare(LinkPtr link, link::Token token) {
  const absl::Cleanup opened = [&] { --link->opening; };
  const std::uint32_t limit = context_.world->limits.connections;
  absl::StatusOr<AddressShare> share =
      TakeOfAll(context_.quotas.connections, {"limits.connections", limit});
  absl::StatusOr<net::AsyncFd> socket;
  if (!share.ok()) {
    socket = share.status();
  } else {
    socket = co_await Dial(context_, link->target.address, Way::kWan,
                           After(context_.world->deadlines.dial));
  }
  const link::Bytes opening = link::EncodeOpening(token);
  // A new connection has room for it.
  const bool said =
      socket.ok() && send(socket->get(), opening.data(), opening.size(),
                          MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(opening.size());
  if (!said) {
    link->Waste(pace_);
    Note(*link, [](DialedLinkView& view) { ++view.spares_failed; });
    log::WriteLimited(log::Level::kWarning, "spare not opened", "",
                      {{"cluster", link->target.cluster},
                       {"gateway", link->target.gateway},
                       {"reason", socket.status()}});
    co_return;
  }
  if (link->channel == nullptr || dropping_) co_return;  // it has been lost meanwhile
  Note(*link, [](DialedLinkView& view) {
    ++view.spares_opened;
    ++view.spares;
  });
  link->spares.emplace_back(*this, *link, *std::move(socket), *std::move(share)).Look();
}

void DialedLinks::OnSpare(Link& link, IdleSpare& spare, bool begun) {
  Note(link, [&](DialedLinkView& view) {
    --view.spares;
    if (!begun) return;
    ++view.tunnels;
    ++counts_.tunnels;
  });
  if (!begun) link.Waste(pace_);
  Fd socket = begun ? spare.Release() : Fd();
  const auto at = std::ranges::find_if(link.spares, [&](IdleSpare& one) { return &one == &spare; });
  link.spares.erase(at);
  if (begun) serve_(std::move(socket));
}

}  // namespace tombolo::agent
