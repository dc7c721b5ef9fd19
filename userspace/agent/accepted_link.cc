// SPDX-License-Identifier: Apache-2.0
#include "agent/accepted_link.h"

#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "agent/gateway_context.h"
#include "agent/gateway_dial.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"

namespace tombolo::agent {
namespace {

// Tokens that nobody has used, and spares that are old or dead, are looked for so often.
constexpr Duration kLook = std::chrono::seconds(1);

void Refuse(GatewayContext& context, LinkRefusal reason, absl::string_view peer,
            const absl::Status& why) {
  context.counters.refused.Add(gateway::Refusal::kLink);
  context.counters.links_refused.Add(reason);
  log::WriteLimited(log::Level::kWarning, "link refused", Name(reason),
                    {{"peer", peer}, {"reason", Name(reason)}, {"detail", why}});
}

Awaitable<absl::StatusOr<tls::Session>> Handshake(GatewayContext& context, net::AsyncFd socket,
                                                  [[maybe_unused]] AddressShare share) {
  const GatewayWorldPtr world = context.world;
  // Not inside the co_await: g++ 12 destroys a lambda's captures there twice.
  tls::CredentialsBySni find = [&](absl::string_view name) -> tls::CredentialsPtr {
    return name == LinkServerName(world->links.cluster) ? world->links.Credentials() : nullptr;
  };
  co_return co_await tls::HandshakeAsServer(
      std::move(socket), std::move(find), tls::RecordSettings(context.buffers),
      After(world->deadlines.handshake), tls::Protocol::kLink);
}

// What the stock tells from any thread, once until the link has come to it.
class Refilling {
 public:
  Refilling(GatewayContext& context, std::weak_ptr<AcceptedLink> accepted)
      : poller_(context.poller), link_(std::move(accepted)) {}

  static void Soon(const std::shared_ptr<Refilling>& self, void (*what)(AcceptedLink&)) {
    if (self->told_.exchange(true)) return;
    PostTo(self->poller_, [self, what] {
      self->told_ = false;
      // Only here, on its own thread, may this be the last to let it go.
      if (const std::shared_ptr<AcceptedLink> accepted = self->link_.lock()) what(*accepted);
    });
  }

 private:
  net::Poller& poller_;
  const std::weak_ptr<AcceptedLink> link_;
  std::atomic<bool> told_{false};
};

// An offer that cannot be sent is one that the other side does not read: then the link ends soon.
void OfferTokens(AcceptedLink& accepted) {
  while (accepted.membership != nullptr) {
    std::vector<link::Token> tokens =
        accepted.membership->HandOut(std::chrono::steady_clock::now());
    if (tokens.empty()) return;
    if (!accepted.channel->Post(link::Offer{std::move(tokens)}).ok()) return;
  }
}

void EndReplaced(AcceptedLink& accepted) {
  accepted.ending = "another link of the same gateway has taken over";
  accepted.channel->Interrupt();
}

link::Stock::Owner OwnerOf(GatewayContext& context, const std::shared_ptr<AcceptedLink>& accepted,
                           const link::Hello& hello) {
  const SpiffeId::Name name = accepted->channel->info().peer.name();
  const auto refilling = std::make_shared<Refilling>(context, accepted);
  const auto replaced = std::make_shared<Refilling>(context, accepted);
  return {.cluster = std::string(name.cluster),
          .gateway = std::string(name.gateway),
          .most_spares = hello.most_spares,
          .renews = hello.renews,
          .heard_at = accepted->channel->heard_at(),
          .refill = [refilling] { Refilling::Soon(refilling, OfferTokens); },
          .replaced = [replaced] { Refilling::Soon(replaced, EndReplaced); }};
}

// By the world of now: it may be another one than when it was dialled.
absl::Status Check(const GatewayContext& context, const AcceptedLink& accepted,
                   LinkRefusal& refusal) {
  refusal = LinkRefusal::kDraining;
  if (context.draining) return absl::UnavailableError("this gateway is draining");
  const tls::SessionInfo& info = accepted.channel->info();
  return context.world->links.Check(info.peer, info.peer_serial, refusal);
}

// Greets it, and makes it a member of the stock.
Awaitable<absl::Status> Admit(GatewayContext& context, std::shared_ptr<AcceptedLink> accepted,
                              LinkRefusal& refusal) {
  CO_RETURN_IF_ERROR(Check(context, *accepted, refusal));
  refusal = LinkRefusal::kProtocol;
  CO_ASSIGN_OR_RETURN(const link::Hello hello, co_await accepted->channel->ReceiveHello(
                                                   After(context.world->deadlines.handshake)));
  CO_RETURN_IF_ERROR(Check(context, *accepted, refusal));
  refusal = LinkRefusal::kProtocol;
  accepted->membership =
      context.stock.Add(OwnerOf(context, accepted, hello), std::chrono::steady_clock::now());
  co_return accepted->channel->Post(link::Hello{.most_spares = link::Refill::kMost});
}

bool Expired(const tls::SessionInfo& info) {
  return std::chrono::system_clock::now() >= info.peer_not_after;
}

// Until it ends, in order or not. Says why.
Awaitable<absl::Status> Hold(AcceptedLink& accepted) {
  for (;;) {
    OfferTokens(accepted);
    const absl::StatusOr<link::Message> message = co_await accepted.channel->Receive(After(kLook));
    if (Expired(accepted.channel->info())) accepted.ending = "the certificate has expired";
    if (!accepted.ending.empty()) co_return absl::CancelledError(accepted.ending);
    if (absl::IsDeadlineExceeded(message.status()) || absl::IsCancelled(message.status())) continue;
    if (!message.ok()) co_return message.status();
    if (const auto* goodbye = std::get_if<link::GoAway>(&*message)) {
      co_return absl::CancelledError(absl::StrCat("the peer said goodbye: ", goodbye->why));
    }
    accepted.ending = "TOKENS are not for this side to get";
    co_return absl::InvalidArgumentError(accepted.ending);
  }
}

}  // namespace

Awaitable<void> ServeLink(GatewayContext& context, net::AsyncFd socket, std::string peer_address,
                          AddressShare share, AddressShare handshake) {
  const bool has_identity = context.world->links.Credentials() != nullptr;
  absl::StatusOr<tls::Session> session =
      co_await Handshake(context, std::move(socket), std::move(handshake));
  if (!session.ok()) {
    const LinkRefusal why = has_identity ? LinkRefusal::kHandshake : LinkRefusal::kNoIdentity;
    co_return Refuse(context, why, peer_address, session.status());
  }
  auto accepted = std::make_shared<AcceptedLink>();
  const Duration ping = context.world->deadlines.ping;
  accepted->channel = std::make_unique<link::Channel>(*std::move(session), ping, ping);
  accepted->share = std::move(share);
  const std::string peer = accepted->channel->info().peer.text();
  LinkRefusal refusal = LinkRefusal::kProtocol;
  const absl::Status admitted = co_await Admit(context, accepted, refusal);
  if (!admitted.ok()) {
    accepted->membership = nullptr;
    Refuse(context, refusal, absl::StrCat(peer, " at ", peer_address), admitted);
    co_return co_await accepted->channel->Close(std::string(admitted.message()));
  }
  Add(context.counters.links_accepted);
  log::WriteLimited(log::Level::kInfo, "link accepted", "",
                    {{"peer", peer}, {"address", peer_address}});
  const auto at = context.accepted_links.insert(context.accepted_links.end(), accepted);
  const absl::Cleanup gone = [&context, at] { context.accepted_links.erase(at); };
  const absl::Status ended = co_await Hold(*accepted);
  // First: what has been lost must not be handed out.
  accepted->membership = nullptr;
  if (!absl::IsCancelled(ended)) Add(context.counters.links_lost);
  log::WriteLimited(absl::IsCancelled(ended) ? log::Level::kInfo : log::Level::kWarning,
                    "link ended", "",
                    {{"peer", peer}, {"address", peer_address}, {"reason", ended}});
  if (absl::IsUnavailable(ended)) co_return;
  co_await accepted->channel->Close(std::string(ended.message()));
}

void CheckLinks(GatewayContext& context) {
  for (const std::shared_ptr<AcceptedLink>& accepted : context.accepted_links) {
    LinkRefusal refusal = LinkRefusal::kIdentity;
    const absl::Status status = Check(context, *accepted, refusal);
    if (status.ok()) continue;
    accepted->ending = std::string(status.message());
    accepted->channel->Interrupt();
  }
}

void EndLinks(GatewayContext& context, const std::string& why) {
  for (const std::shared_ptr<AcceptedLink>& accepted : context.accepted_links) {
    accepted->ending = why;
    accepted->channel->Interrupt();
  }
}

}  // namespace tombolo::agent
