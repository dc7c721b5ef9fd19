// SPDX-License-Identifier: Apache-2.0
#include "agent/local_endpoints.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace tombolo::agent {

struct LocalEndpoints::State {
  std::uint32_t in_flight = 0;
  std::uint64_t last_use = 0;  // counted in uses; 0: never
  MonotonicTime avoided_until{};
  Duration next_avoidance = kFirstAvoidance;
};

LocalEndpoints::Use::Use(std::shared_ptr<State> state) : state_(std::move(state)) {
  ++state_->in_flight;
}

LocalEndpoints::Use& LocalEndpoints::Use::operator=(Use&& other) noexcept {
  if (this != &other) {
    End();
    state_ = std::move(other.state_);
  }
  return *this;
}

void LocalEndpoints::Use::End() {
  if (state_ != nullptr) --state_->in_flight;
  state_.reset();
}

void LocalEndpoints::Use::OnConnected() {
  if (state_ == nullptr) return;
  state_->avoided_until = {};
  state_->next_avoidance = kFirstAvoidance;
}

void LocalEndpoints::Use::OnFailure(MonotonicTime now) {
  if (state_ == nullptr || now < state_->avoided_until) return;  // a burst is one failure
  state_->avoided_until = now + state_->next_avoidance;
  state_->next_avoidance = std::min(state_->next_avoidance * 2, kLongestAvoidance);
}

const LocalEndpoints::State* LocalEndpoints::Find(const mesh::Endpoint& endpoint) const {
  const auto workload = states_.find(endpoint.workload);
  if (workload == states_.end()) return nullptr;
  const auto state = workload->second.find(endpoint.address);
  return state == workload->second.end() ? nullptr : state->second.get();
}

std::size_t LocalEndpoints::Pick(absl::Span<const mesh::Endpoint* const> candidates,
                                 MonotonicTime now) const {
  static const State kUnknown;
  const auto rank = [&](const mesh::Endpoint* endpoint) {
    const State* found = Find(*endpoint);
    const State& state = found == nullptr ? kUnknown : *found;
    // With this connection: an endpoint of weight 2 gets the second and the third of three.
    const double load = (state.in_flight + 1.0) / std::max(endpoint->weight, 1U);
    return std::tuple(now < state.avoided_until, load, state.last_use);
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    if (rank(candidates[i]) < rank(candidates[best])) best = i;
  }
  return best;
}

LocalEndpoints::Use LocalEndpoints::Begin(const mesh::Endpoint& endpoint) {
  std::shared_ptr<State>& state = states_[endpoint.workload][endpoint.address];
  if (state == nullptr) state = std::make_shared<State>();
  state->last_use = ++uses_;
  return Use(state);
}

void LocalEndpoints::Forget(MonotonicTime now) {
  for (auto& [workload, states] : states_) {
    absl::erase_if(states, [now](const auto& entry) {
      return entry.second->in_flight == 0 && entry.second->avoided_until <= now;
    });
  }
  absl::erase_if(states_, [](const auto& entry) { return entry.second.empty(); });
}

std::size_t LocalEndpoints::size() const {
  std::size_t count = 0;
  for (const auto& [workload, states] : states_) count += states.size();
  return count;
}

}  // namespace tombolo::agent
