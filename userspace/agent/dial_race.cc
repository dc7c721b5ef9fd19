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

// How far away another cluster is, TCP knows after its handshake. What is behind a link is further
// away than the cluster that has the link: PING will tell.
void ReportRoundTrip(Context& context, const std::string& cluster, const net::AsyncFd& connected) {
  if (cluster == context.settings.cluster) return;
  const auto tcp = net::ReadTcpState(connected.get());
  if (!tcp.ok() || tcp->round_trip == Duration{}) return;  // an answer to which SYN?
  context.balancer.OnRoundTrip(cluster, tcp->round_trip, std::chrono::steady_clock::now());
}

// A dial that its connection did not wait for: what of it outlives the connection.
struct SlowDial {
  net::ConnectRace::Runner runner;
  balance::Balancer::Attempt attempt;
  ServiceCountersPtr counters;
  std::string cluster;
};

// It is one of `context.slow_dials` already. Were an answer not measured, the next connection would
// not wait for it either.
Awaitable<void> JudgeSlow(Context& context, SlowDial dial) {
  const absl::Cleanup judged = [&context] { --context.slow_dials; };
  net::ConnectRace::Runner& runner = dial.runner;
  absl::Status answer = co_await runner.socket.WaitWritable(runner.deadline);
  if (answer.ok()) answer = net::EndConnect(runner.socket, runner.address);
  if (absl::IsCancelled(answer)) co_return;
  if (answer.ok()) {
    ReportRoundTrip(context, dial.cluster, runner.socket);
    co_return;
  }
  dial.attempt.OnFailure(balance::Failure::kWay, std::chrono::steady_clock::now());
  Add(dial.counters->attempts_failed);
  log::Debug("a slow way has failed", {{"way", runner.address.ToString()}, {"reason", answer}});
}

class DialRace {
 public:
  DialRace(Context& context, const DialRaceRules& rules)
      : context_(context), rules_(rules), race_(context.poller) {}

  Awaitable<absl::StatusOr<net::AsyncFd>> Run(Candidate& first) {
    CO_RETURN_IF_ERROR(Enter(std::move(first), first));
    for (;;) {
      absl::StatusOr<std::optional<net::ConnectRace::Arrival>> next = co_await race_.Next(next_);
      if (!next.ok()) {
        first = std::move(entered_.back());
        co_return next.status();
      }
      std::optional<net::ConnectRace::Arrival> arrival = *std::move(next);
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
      ReportRoundTrip(context_, first.route.dialed_cluster, arrival->runner.socket);
      co_return std::move(arrival->runner.socket);
    }
  }

 private:
  MonotonicTime SlowAt(const Candidate& candidate) const {
    const MonotonicTime now = std::chrono::steady_clock::now();
    Duration delay = context_.world->deadlines.dial_delay;
    const balance::ClusterView cluster =
        context_.balancer.ViewCluster(candidate.route.dialed_cluster, now);
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
    if (!another || (another->is_new && HasDialed(another->way))) return false;
    Add(context_.counters.retries);
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

  // Other endpoints may be the next best, and lead there as well.
  bool HasDialed(const std::string& way) const {
    return std::ranges::any_of(entered_, [&](const Candidate& each) { return each.way == way; });
  }

  void LeaveRest() {
    for (net::ConnectRace::Runner& runner : race_.TakeRest()) {
      Candidate& slow = entered_[runner.number];
      rules_.on_slow(slow);
      // Nobody would end it any more, nor use what it says.
      if (context_.draining || context_.slow_dials >= kMaxSlowDials) continue;
      ++context_.slow_dials;
      SlowDial dial{std::move(runner), std::move(slow.attempt), std::move(slow.counters),
                    std::move(slow.route.dialed_cluster)};
      context_.tasks.Spawn(JudgeSlow(context_, std::move(dial)));
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
