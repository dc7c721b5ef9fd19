// SPDX-License-Identifier: Apache-2.0
#include "agent/dial_race.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "agent/reserve_descriptor.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/connect_race.h"
#include "net/socket.h"
#include "net/wan_options.h"

namespace tombolo::agent {
namespace {

// A SYN that was lost is sent again after a second: a long way must not look like a lost SYN.
constexpr int kRoundTrips = 4;

absl::StatusOr<Fd> MakeSocket(Context& context, const Route& route) {
  ASSIGN_OR_RETURN(Fd socket, net::TcpSocket(route.address));
  if (!context.quotas.reserve.Keep()) return ReserveNeeded();
  net::SetKeepAlive(socket.get());
  net::DelayAcknowledgements(socket.get());  // a ClientHello is next
  if (route.endpoint->behind_gateways()) net::SetWanOptions(socket.get(), context.settings.wan);
  return socket;
}

// What becomes of a dial that its connection did not wait for. It is counted already.
Awaitable<void> JudgeSlow(Context& context, net::ConnectRace::Runner runner,
                          balance::Balancer::Attempt attempt) {
  const absl::Cleanup judged = [&context] { --context.slow_dials; };
  absl::Status answer = co_await runner.socket.WaitWritable(runner.deadline);
  if (answer.ok()) answer = net::EndConnect(runner.socket, runner.address);
  if (answer.ok() || absl::IsCancelled(answer)) co_return;
  attempt.OnFailure(balance::Failure::kWay, std::chrono::steady_clock::now());
}

class DialRace {
 public:
  DialRace(Context& context, const DialRaceRules& rules)
      : context_(context), rules_(rules), race_(context.poller) {}

  Awaitable<absl::StatusOr<net::AsyncFd>> Run(Candidate& first) {
    CO_RETURN_IF_ERROR(Enter(std::move(first), first));
    for (;;) {
      std::optional<net::ConnectRace::Arrival> arrival = co_await race_.Next(next_);
      if (!arrival) {
        if (EnterAnother(first)) co_return net::AsyncFd();
        continue;
      }
      Candidate& candidate = entered_[arrival->runner.number];
      if (!arrival->status.ok() && !race_.empty()) {
        candidate.slot.reset();
        rules_.on_failure(candidate, arrival->status);
        next_ = std::chrono::steady_clock::now();  // its place is free
        continue;
      }
      first = std::move(candidate);
      LeaveRest();
      CO_RETURN_IF_ERROR(arrival->status);
      co_return std::move(arrival->runner.socket);
    }
  }

 private:
  MonotonicTime SlowAt(const Candidate& candidate) const {
    const MonotonicTime now = std::chrono::steady_clock::now();
    Duration delay = context_.world->deadlines.dial_delay;
    const balance::ClusterView cluster =
        context_.balancer.ViewCluster(candidate.route.endpoint->cluster, now);
    if (cluster.round_trip) delay = std::max(delay, kRoundTrips * *cluster.round_trip);
    return now + delay;
  }

  // Or gives the candidate back, in `out`, and says why.
  absl::Status Enter(Candidate candidate, Candidate& out) {
    candidate.deadline = std::min(rules_.latest, After(context_.world->deadlines.dial));
    absl::StatusOr<Fd> socket = MakeSocket(context_, candidate.route);
    absl::Status begun = socket.status();
    if (begun.ok()) {
      begun = race_.Begin(entered_.size(), *std::move(socket), candidate.route.address,
                          candidate.deadline);
    }
    if (!begun.ok()) {
      out = std::move(candidate);
      return begun;
    }
    next_ = SlowAt(candidate);
    entered_.push_back(std::move(candidate));
    return absl::OkStatus();
  }

  // True: `winner` is one that needs no dial.
  bool EnterAnother(Candidate& winner) {
    next_ = kNoDeadline;  // unless there is another
    std::optional<DialSlots::Slot> slot = context_.dials.TakeFree();
    if (!slot) return false;
    std::optional<Candidate> another = rules_.another(entered_.back());
    if (!another) return false;
    log::Debug("no answer yet, going another way as well",
               {{"slow", entered_.back().way}, {"also", another->way}});
    if (!another->is_new) {
      winner = *std::move(another);
      LeaveRest();
      return true;
    }
    another->slot = std::move(slot);
    Candidate failed;
    const absl::Status begun = Enter(*std::move(another), failed);
    // Without descriptors the others still have their sockets.
    if (begun.ok() || OutOfDescriptors(begun)) return false;
    rules_.on_failure(failed, begun);
    next_ = std::chrono::steady_clock::now();
    return false;
  }

  void LeaveRest() {
    for (net::ConnectRace::Runner& runner : race_.TakeRest()) {
      Candidate& slow = entered_[runner.number];
      if (context_.slow_dials >= kMaxSlowDials) continue;
      ++context_.slow_dials;
      context_.tasks.Spawn(JudgeSlow(context_, std::move(runner), std::move(slow.attempt)));
    }
  }

  Context& context_;
  const DialRaceRules& rules_;
  net::ConnectRace race_;
  std::vector<Candidate> entered_;  // by their numbers in the race
  MonotonicTime next_{};            // when another one is due
};

}  // namespace

Awaitable<absl::StatusOr<net::AsyncFd>> ConnectFirst(Context& context, Candidate& first,
                                                     const DialRaceRules& rules) {
  DialRace race(context, rules);
  co_return co_await race.Run(first);
}

}  // namespace tombolo::agent
