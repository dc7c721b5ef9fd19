// SPDX-License-Identifier: Apache-2.0
#include "server/deadline.h"

#include <chrono>
#include <cstdint>

#include <boost/asio/steady_timer.hpp>

namespace tombolo::ca::https {
namespace {

using boost::system::error_code;

// A cancellation that comes between two reads of a composed operation is lost, so it is repeated
// until somebody has noticed.
constexpr auto kAgain = std::chrono::milliseconds(20);

}  // namespace

struct Deadline::State {
  explicit State(asio::ip::tcp::socket& socket_in)
      : socket(socket_in), timer(socket_in.get_executor()) {}
  asio::ip::tcp::socket& socket;
  asio::steady_timer timer;
  std::uint64_t set = 0;  // how often: an expiry may be under way when the next one is set
  bool passed = false;
};

Deadline::Deadline(asio::ip::tcp::socket& socket) : state_(std::make_shared<State>(socket)) {}

Deadline::~Deadline() { Clear(); }

void Deadline::Set(Duration time) {
  Clear();
  Arm(state_, time);
}

void Deadline::Clear() {
  ++state_->set;
  state_->passed = false;
  state_->timer.cancel();
}

bool Deadline::passed() const { return state_->passed; }

void Deadline::Arm(const std::shared_ptr<State>& state, Duration time) {
  state->timer.expires_after(time);
  state->timer.async_wait(
      [weak = std::weak_ptr<State>(state), set = state->set](error_code stopped) {
        const std::shared_ptr<State> armed = weak.lock();
        if (stopped || armed == nullptr || armed->set != set) return;
        armed->passed = true;
        error_code ignored;
        armed->socket.cancel(ignored);
        Arm(armed, kAgain);
      });
}

}  // namespace tombolo::ca::https
