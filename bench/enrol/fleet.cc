// SPDX-License-Identifier: Apache-2.0
#include "enrol/fleet.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "absl/strings/str_cat.h"
#include "base/task_group.h"
#include "identity/schedule.h"

namespace tombolo::bench {
namespace {

using Clock = std::chrono::steady_clock;

// What a renewal at half of an hour has left.
constexpr std::chrono::minutes kLeft{30};

std::uint64_t Since(MonotonicTime begin) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count());
}

// The agents of one run, on one thread.
class Fleet {
 public:
  Fleet(const Agents& agents, const FleetOptions& options) : agents_(agents), options_(options) {}

  absl::StatusOr<FleetResult> Run() {
    const MonotonicTime begin = Clock::now();
    const auto count = static_cast<std::int64_t>(agents_.agents.size());
    give_up_ = begin + options_.window + options_.give_up;
    for (std::int64_t i = 0; i < count; ++i) {
      tasks_.Spawn(
          Live(agents_.agents[static_cast<std::size_t>(i)], begin + options_.window * i / count));
    }
    io_.run();
    if (last_failure_.ok()) return std::move(result_);
    return absl::DeadlineExceededError(
        absl::StrCat(agents_.agents.size() - result_.served.count(), " of ", agents_.agents.size(),
                     " agents got nothing: ", last_failure_.message()));
  }

 private:
  Awaitable<void> Sleep(MonotonicTime until) {
    asio::steady_timer timer(io_, until);
    (void)co_await timer.async_wait(kUseTuple);
  }

  Awaitable<void> Live(const Agent& agent, MonotonicTime due) {
    co_await Sleep(due);
    const std::unique_ptr<identity::EstClient> client = NewClient(io_, agents_);
    for (unsigned failures = 0;;) {
      const MonotonicTime begin = Clock::now();
      absl::Status status = co_await Attempt(*client, agent);
      if (status.ok()) {
        Served(begin, due);
        break;
      }
      ++failures, ++result_.retries;
      const Duration pause =
          identity::RetryAfter({}, failures, client->rest(), kLeft, jitter_(random_));
      if (Clock::now() + pause > give_up_) {
        last_failure_ = status;
        co_return;
      }
      co_await Sleep(After(pause));
    }
    // It keeps its connection, and with that its place, for as long as an agent does.
    co_await Sleep(After(identity::EstClient::kKeepIdle));
  }

  void Served(MonotonicTime begin, MonotonicTime due) {
    result_.request.Add(Since(begin));
    result_.served.Add(Since(due));
    result_.elapsed = std::max(result_.elapsed, Clock::now() - begin_);
  }

  const Agents& agents_;
  const FleetOptions& options_;
  asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  const MonotonicTime begin_ = Clock::now();
  MonotonicTime give_up_{};
  std::minstd_rand random_{1};
  std::uniform_real_distribution<double> jitter_{-1, 1};
  absl::Status last_failure_;
  FleetResult result_;
};

}  // namespace

absl::StatusOr<FleetResult> RunFleet(const Agents& agents, const FleetOptions& options) {
  options.prepared();
  return Fleet(agents, options).Run();
}

}  // namespace tombolo::bench
