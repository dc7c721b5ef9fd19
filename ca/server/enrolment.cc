// SPDX-License-Identifier: Apache-2.0
#include "server/enrolment.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace tombolo::ca::https {
namespace {

// The side of the coroutine that waits. Lives on its I/O thread.
struct Wait {
  explicit Wait(asio::io_context& io) : done(io) {}
  asio::steady_timer done;  // expires at the deadline, cancelled by the answer
  std::optional<absl::StatusOr<std::string>> answer;
};

// The side of the handler. Any thread.
class Promise {
 public:
  Promise(std::shared_ptr<asio::io_context> io, std::shared_ptr<ServerState> state,
          std::shared_ptr<Wait> wait)
      : io_(std::move(io)), state_(std::move(state)), wait_(std::move(wait)) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() { Keep(absl::UnavailableError("the handler has dropped the request")); }

  void Keep(absl::StatusOr<std::string> answer) {
    if (kept_.exchange(true)) return;
    --state_->counters.enrolling;
    // Never run here: the coroutine is woken on its own thread, and what it waits with dies there
    // or with the io_context. That must not be owned by what it queues.
    asio::post(*io_, [wait = std::move(wait_), answer = std::move(answer)]() mutable {
      wait->answer = std::move(answer);
      wait->done.cancel();
    });
  }

 private:
  const std::shared_ptr<asio::io_context> io_;
  const std::shared_ptr<ServerState> state_;
  std::shared_ptr<Wait> wait_;
  std::atomic<bool> kept_ = false;
};

}  // namespace

Awaitable<absl::StatusOr<std::string>> Enrol(std::shared_ptr<asio::io_context> io,
                                             std::shared_ptr<ServerState> state,
                                             EnrolRequest request) {
  if (++state->counters.enrolling > state->limits.enrolments) {
    --state->counters.enrolling;
    co_return absl::ResourceExhaustedError("as many enrolments as may be are under way");
  }
  const MonotonicTime begin = std::chrono::steady_clock::now();
  const auto wait = std::make_shared<Wait>(*io);
  wait->done.expires_after(state->limits.enrolment);
  {
    const auto promise = std::make_shared<Promise>(io, state, wait);
    state->handlers.enrol(std::move(request), [promise](absl::StatusOr<std::string> answer) {
      promise->Keep(std::move(answer));
    });
  }
  co_await wait->done.async_wait(kUseTuple);
  if (!wait->answer) co_return absl::DeadlineExceededError("the handler took too long");
  state->counters.enrolment_time.Record(std::chrono::steady_clock::now() - begin);
  co_return *std::move(wait->answer);
}

}  // namespace tombolo::ca::https
