// SPDX-License-Identifier: Apache-2.0
#include "agent/carried_outbound.h"

#include <chrono>
#include <utility>

#include "agent/carried.h"
#include "agent/idle_tunnels.h"

namespace tombolo::agent {
namespace {

using tunnel::Tunnel;

struct CountDown {
  void operator()(std::size_t* count) const { --*count; }
};
using Counted = std::unique_ptr<std::size_t, CountDown>;

Counted CountClosing(Context& context) {
  ++context.closing;
  return Counted(&context.closing);
}

// The workload's share lasts as long as the tunnel, whose descriptor and batch it pays for, and
// so does its place in the count, from before this has started.
Awaitable<void> CloseTunnel(std::unique_ptr<Tunnel> tunnel, [[maybe_unused]] Quota::Share share,
                            [[maybe_unused]] Counted closing, relay::Relay::End end) {
  co_await relay::CloseTunnel(*tunnel, std::move(end));
}

class CarriedOutbound final : public Carried {
 public:
  CarriedOutbound(Context& context, ConnectionTable::Entry entry, net::AsyncFd plain, Opened opened)
      : Carried(context, std::move(entry), std::move(plain), *opened.tunnel, opened.early),
        tunnel_(std::move(opened.tunnel)),
        in_flight_(std::move(opened.in_flight)),
        share_(std::move(opened.share)) {}

 private:
  void OnEnd(relay::Relay::End end) override {
    JudgeEndpoint(end);
    if (end.status.ok()) return KeepTunnel(context_, std::move(tunnel_));
    if (absl::IsInvalidArgument(end.status)) Add(context_.counters.tunnel_protocol_errors);
    context_.tasks.Spawn(
        CloseTunnel(std::move(tunnel_), std::move(share_), CountClosing(context_), std::move(end)));
  }

  // Whoever takes connections only to reset them is as bad as one that does not take them. What
  // the application here, the way or an agent has ended says nothing about it.
  void JudgeEndpoint(const relay::Relay::End& end) {
    if (end.status.ok() || moved().from_tunnel > 0) return in_flight_.OnAnswered();
    if (end.peer_code != tunnel::proto::CODE_APPLICATION_RESET) return;
    in_flight_.OnReset(std::chrono::steady_clock::now());
    if (connection().counters != nullptr) Add(connection().counters->attempts_failed);
  }

  std::unique_ptr<Tunnel> tunnel_;
  balance::Balancer::Attempt in_flight_;
  Quota::Share share_;
};

}  // namespace

void CarryOutbound(Context& context, ConnectionTable::Entry entry, net::AsyncFd plain,
                   Opened opened) {
  Carried::Start(std::make_unique<CarriedOutbound>(context, std::move(entry), std::move(plain),
                                                   std::move(opened)));
}

}  // namespace tombolo::agent
