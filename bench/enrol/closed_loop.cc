// SPDX-License-Identifier: Apache-2.0
#include "enrol/closed_loop.h"

#include <chrono>
#include <memory>
#include <vector>

#include "base/task_group.h"

namespace tombolo::bench {
namespace {

using Clock = std::chrono::steady_clock;

// The workers of one run, on one thread.
class Loop {
 public:
  Loop(const Agents& agents, const LoopOptions& options) : agents_(agents), options_(options) {
    for (std::size_t i = 0; i < options_.workers; ++i) clients_.push_back(NewClient(io_, agents_));
  }

  // Each worker once, so that connections which are kept are there.
  absl::Status WarmUp() {
    deadline_ = MonotonicTime::min();
    Run();
    result_ = LoopResult();
    return failed_;
  }

  absl::StatusOr<LoopResult> Measure() {
    const MonotonicTime begin = Clock::now();
    deadline_ = begin + options_.duration;
    Run();
    result_.elapsed = Clock::now() - begin;
    if (!failed_.ok()) return failed_;
    return result_;
  }

 private:
  void Run() {
    io_.restart();
    for (std::size_t i = 0; i < options_.workers; ++i) tasks_.Spawn(Work(i));
    io_.run();
  }

  // A token is good for one certificate; an SVID for any number.
  const Agent* Next(std::size_t worker) {
    const bool joins = !agents_.agents.front().token.empty();
    const std::size_t next = joins ? next_token_++ : worker;
    return next < agents_.agents.size() ? &agents_.agents[next] : nullptr;
  }

  Awaitable<void> Work(std::size_t worker) {
    do {
      const Agent* const agent = Next(worker);
      if (agent == nullptr) break;
      if (!options_.keep) clients_[worker] = NewClient(io_, agents_);
      const MonotonicTime begin = Clock::now();
      absl::Status status = co_await Attempt(*clients_[worker], *agent);
      failed_.Update(status);
      result_.latency.Add(static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count()));
    } while (failed_.ok() && Clock::now() < deadline_);
  }

  const Agents& agents_;
  const LoopOptions& options_;
  asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  std::vector<std::unique_ptr<identity::EstClient>> clients_;
  MonotonicTime deadline_{};
  std::size_t next_token_ = 0;
  absl::Status failed_;
  LoopResult result_;
};

}  // namespace

absl::StatusOr<LoopResult> RunLoop(const Agents& agents, const LoopOptions& options) {
  Loop loop(agents, options);
  const absl::Status warm = loop.WarmUp();
  if (!warm.ok()) return warm;
  options.prepared();
  return loop.Measure();
}

}  // namespace tombolo::bench
