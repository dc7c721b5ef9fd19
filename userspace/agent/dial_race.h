// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/context.h"
#include "agent/dial_slots.h"
#include "agent/route.h"
#include "agent/service_counters.h"
#include "balance/balancer.h"
#include "balance/choice.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/async_fd.h"

namespace tombolo::agent {

// Where a connection may go, from when that has been chosen.
struct Candidate {
  balance::Choice choice{};
  Route route{};
  balance::Balancer::Attempt attempt{};
  ServiceCountersPtr counters{};  // of the service in that cluster
  MonotonicTime begun{};
  std::string way{};    // where its tunnel leads: a node's or gateway's address
  bool is_new = false;  // no idle tunnel leads there: it has to be dialled
  MonotonicTime deadline{};
  std::optional<DialSlots::Slot> slot{};  // while it is dialled
};

// What a race asks of the connection that it is for. All are called on the connection's thread and
// outlive the race.
struct DialRaceRules {
  MonotonicTime latest;  // of the whole connection
  // The best place beside those that are dialled already, of which `slow` is the last; or none.
  // One that leads where the race has dialled already is given up again.
  std::function<std::optional<Candidate>(const Candidate& slow)> another;
  // It has failed while others are under way.
  std::function<void(Candidate& failed, const absl::Status& why)> on_failure;
  // Another one was first, and this one has not failed.
  std::function<void(const Candidate& slow)> on_slow;
};

// Makes the TCP connection of a new tunnel, to `first`, which has a slot. Without an answer for
// `deadlines.dial_delay`, or four round trips to that cluster if that is longer, the next best
// place is dialled beside it, and so on for as long as there is a slot free at once and a way that
// was not dialled yet. `first` becomes the one that is connected first; or one that needs no dial,
// when the result is no socket; or the last one that has failed. Nothing has been sent to any of
// them. Tells the balancer how far away the clusters of all that are connected are.
//
// Those that were too slow are left to be judged by their own deadline: only who has not answered
// by then has failed (as many of them as kMaxSlowDials, and none once the agent drains; of others
// nothing is learnt).
Awaitable<absl::StatusOr<net::AsyncFd>> ConnectFirst(Context& context, Candidate& first,
                                                     const DialRaceRules& rules);

inline constexpr std::size_t kMaxSlowDials = 64;  // of one thread

}  // namespace tombolo::agent
