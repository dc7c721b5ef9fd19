// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/hash/hash.h"

namespace tombolo::balance {
namespace {

using std::chrono::duration;

// Weight of the newest sample in the smoothed latency.
constexpr double kNewest = 0.3;
// A latency that was not measured again loses half of its weight in this time,
// so that an endpoint which was slow once is tried again.
constexpr Duration kLatencyHalfLife = std::chrono::seconds(10);
// Differences below this, or below this ratio, are noise.
constexpr Duration kLatencyFloor = std::chrono::milliseconds(1);
constexpr double kLatencyRatio = 1.5;

}  // namespace

struct Balancer::State {
  std::uint32_t in_flight = 0;
  int failures = 0;  // in a row
  Duration next_ejection = kFirstEjection;
  MonotonicTime ejected_at{};
  MonotonicTime ejected_until{};
  std::optional<Duration> latency;
  MonotonicTime latency_at{};

  bool Ejected(MonotonicTime now) const { return now < ejected_until; }

  Duration LatencyNow(MonotonicTime now) const {
    const double half_lives = duration<double>(now - latency_at) / kLatencyHalfLife;
    const auto decayed = std::chrono::duration_cast<Duration>(
        duration<double>(*latency) * std::exp2(-std::max(0.0, half_lives)));
    return std::max(decayed, kLatencyFloor);
  }

  // How loaded an endpoint is: 1 when idle, so that the order of the draws
  // (which is by weight) decides between idle ones.
  static double Load(const State* state, std::uint32_t weight) {
    if (state == nullptr || weight == 0) return 1.0;
    return 1.0 + static_cast<double>(state->in_flight) / weight;
  }

  // How many times slower `a` connects than `b`; 1 when that is unknown or
  // noise.
  static double Slowness(const State* a, const State* b, MonotonicTime now) {
    if (a == nullptr || b == nullptr || !a->latency || !b->latency) return 1.0;
    const double ratio =
        duration<double>(a->LatencyNow(now)) / duration<double>(b->LatencyNow(now));
    return ratio > kLatencyRatio || ratio < 1 / kLatencyRatio ? ratio : 1.0;
  }
};

Balancer::Attempt::Attempt(std::shared_ptr<State> state, MonotonicTime started)
    : state_(std::move(state)), started_(started) {
  ++state_->in_flight;
}

Balancer::Attempt& Balancer::Attempt::operator=(Attempt&& other) noexcept {
  if (this != &other) {
    End();
    state_ = std::move(other.state_);
    started_ = other.started_;
  }
  return *this;
}

void Balancer::Attempt::End() {
  if (state_ != nullptr) --state_->in_flight;
  state_.reset();
}

void Balancer::Attempt::OnConnected(Duration latency, MonotonicTime now) {
  if (state_ == nullptr) return;
  state_->failures = 0;
  state_->next_ejection = kFirstEjection;
  state_->ejected_until = {};
  const auto smoothed = state_->latency ? duration<double>(*state_->latency) * (1 - kNewest) +
                                              duration<double>(latency) * kNewest
                                        : duration<double>(latency);
  state_->latency = std::chrono::duration_cast<Duration>(smoothed);
  state_->latency_at = now;
}

void Balancer::Attempt::OnFailure(Failure /*what*/, MonotonicTime now) {
  if (state_ == nullptr) return;
  // A burst that was under way when the endpoint was ejected says nothing new.
  if (state_->ejected_at != MonotonicTime{} && started_ <= state_->ejected_at) return;
  if (++state_->failures < kFailuresToEject) return;
  state_->ejected_at = now;
  state_->ejected_until = now + state_->next_ejection;
  state_->next_ejection = std::min(state_->next_ejection * 2, kLongestEjection);
}

std::size_t Balancer::KeyHash::operator()(const EndpointKeyView& key) const {
  return absl::HashOf(key.first, key.second);
}

std::size_t Balancer::KeyHash::operator()(const EndpointKey& key) const {
  return absl::HashOf(absl::string_view(key.first), key.second);
}

const Balancer::States* Balancer::FindStates(absl::string_view service, std::uint16_t port) const {
  const auto ports = services_.find(service);
  if (ports == services_.end()) return nullptr;
  const auto states = ports->second.find(port);
  return states == ports->second.end() ? nullptr : &states->second;
}

Balancer::EndpointKeyView Balancer::KeyOf(const mesh::Endpoint& endpoint) {
  if (endpoint.behind_gateways()) return {endpoint.identity.text(), {}};
  return {endpoint.workload, endpoint.address};
}

const Balancer::State* Balancer::FindState(const States* states, const mesh::Endpoint& endpoint) {
  if (states == nullptr) return nullptr;
  const auto found = states->find(KeyOf(endpoint));
  return found == states->end() ? nullptr : found->second.get();
}

Balancer::Groups Balancer::Sort(const mesh::ServicePort& port, const States* states,
                                MonotonicTime now) const {
  Groups groups;
  const auto usable = [&](const Candidate& candidate) {
    const bool is_local = candidate.endpoint->cluster == own_cluster_;
    (is_local ? groups.local : groups.remote).push_back(candidate);
  };
  std::size_t ready = 0;
  for (std::size_t i = 0; i < port.endpoints.size(); ++i) {
    const mesh::Endpoint& endpoint = port.endpoints[i];
    if (!endpoint.ready) continue;
    ++ready;
    const Candidate candidate{i, &endpoint, FindState(states, endpoint)};
    if (candidate.state != nullptr && candidate.state->Ejected(now)) {
      groups.ejected.push_back(candidate);
    } else {
      usable(candidate);
    }
  }
  if (groups.ejected.empty()) return groups;
  // The least bad first: those whose time is over soonest.
  std::sort(groups.ejected.begin(), groups.ejected.end(),
            [](const Candidate& a, const Candidate& b) {
              return a.state->ejected_until < b.state->ejected_until;
            });
  const std::size_t kept = std::min(groups.ejected.size(), ready / 2);
  const auto first_kept = groups.ejected.end() - static_cast<std::ptrdiff_t>(kept);
  std::for_each(groups.ejected.begin(), first_kept, usable);
  groups.ejected.erase(groups.ejected.begin(), first_kept);
  return groups;
}

std::optional<Choice> Balancer::Pick(const Wanted& wanted, absl::Span<const Tried> tried,
                                     MonotonicTime now) {
  const mesh::ServicePort& port = *wanted.target.port;
  Groups groups = Sort(port, FindStates(wanted.target.service->FullName(), port.port), now);
  const auto is_spent = [&](const Candidate& candidate) {
    const auto on_it = std::count_if(tried.begin(), tried.end(), [&](const Tried& before) {
      return before.choice.endpoint == candidate.index;
    });
    // Behind a gateway there may be others of it, and there may be other gateways.
    if (!candidate.endpoint->behind_gateways()) return on_it > 0;
    return !ChooseWay(wanted, candidate, tried).has_value();
  };
  for (std::vector<Candidate>* group : {&groups.local, &groups.remote, &groups.ejected}) {
    std::erase_if(*group, is_spent);
  }
  if (!groups.local.empty()) return ChooseWay(wanted, PowerOfTwo(groups.local, now), tried);
  if (!groups.remote.empty()) return ChooseWay(wanted, PowerOfTwo(groups.remote, now), tried);
  if (!groups.ejected.empty()) return ChooseWay(wanted, groups.ejected.front(), tried);
  return std::nullopt;
}

// By any of its gateways that this connection has not tried for it. None: all were tried.
std::optional<Choice> Balancer::ChooseWay(const Wanted& wanted, const Candidate& candidate,
                                          absl::Span<const Tried> tried) {
  if (!candidate.endpoint->behind_gateways()) return Choice{.endpoint = candidate.index};
  const mesh::Cluster* cluster = wanted.snapshot->FindCluster(candidate.endpoint->cluster);
  const std::size_t gateways = cluster == nullptr ? 0 : cluster->gateways.size();
  const std::size_t first = gateways == 0 ? 0 : random_() % gateways;
  for (std::size_t i = 0; i < gateways; ++i) {
    const Choice choice{candidate.index, (first + i) % gateways};
    const auto same = [&](const Tried& before) { return before.choice == choice; };
    if (std::none_of(tried.begin(), tried.end(), same)) return choice;
  }
  return std::nullopt;
}

std::size_t Balancer::DrawByWeight(const std::vector<Candidate>& candidates,
                                   std::optional<std::size_t> except) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i != except) total += candidates[i].endpoint->weight;
  }
  std::uint64_t left = total == 0 ? 0 : random_() % total;
  std::size_t last = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i == except) continue;
    last = i;
    const std::uint64_t weight = candidates[i].endpoint->weight;
    if (left < weight) return i;
    left -= weight;
  }
  return last;
}

const Balancer::Candidate& Balancer::PowerOfTwo(const std::vector<Candidate>& candidates,
                                                MonotonicTime now) {
  if (candidates.size() == 1) return candidates.front();
  const std::size_t drawn = DrawByWeight(candidates, std::nullopt);
  const Candidate& first = candidates[drawn];
  const Candidate& second = candidates[DrawByWeight(candidates, drawn)];
  const double load = State::Load(first.state, first.endpoint->weight) *
                      State::Slowness(first.state, second.state, now);
  const double other = State::Load(second.state, second.endpoint->weight);
  return other < load ? second : first;
}

Balancer::Attempt Balancer::Begin(const Wanted& wanted, const Choice& choice, MonotonicTime now) {
  const mesh::Endpoint& endpoint = wanted.target.port->endpoints[choice.endpoint];
  States& states = services_[wanted.target.service->FullName()][wanted.target.port->port];
  auto found = states.find(KeyOf(endpoint));
  if (found == states.end()) {
    EndpointKey key(KeyOf(endpoint));
    found = states.try_emplace(std::move(key), std::make_shared<State>()).first;
  }
  return Attempt(found->second, now);
}

void Balancer::SetSnapshot(mesh::SnapshotPtr snapshot, MonotonicTime /*now*/) {
  for (auto& [name, ports] : services_) {
    const mesh::Service* service = snapshot->FindService(name);
    for (auto& [number, states] : ports) {
      const mesh::ServicePort* port = service == nullptr ? nullptr : service->FindPort(number);
      States kept;
      if (port != nullptr) {
        for (const mesh::Endpoint& endpoint : port->endpoints) {
          const auto found = states.find(KeyOf(endpoint));
          if (found != states.end()) kept.insert(*found);
        }
      }
      states = std::move(kept);
    }
    absl::erase_if(ports, [](const auto& port) { return port.second.empty(); });
  }
  absl::erase_if(services_, [](const auto& service) { return service.second.empty(); });
}

EndpointView Balancer::View(absl::string_view service, std::uint16_t port,
                            const mesh::Endpoint& endpoint, MonotonicTime now) const {
  const State* state = FindState(FindStates(service, port), endpoint);
  if (state == nullptr) return {};
  return {.in_flight = state->in_flight,
          .ejected_for = state->Ejected(now) ? state->ejected_until - now : Duration{},
          .connect_latency = state->latency};
}

std::size_t Balancer::size() const {
  std::size_t count = 0;
  for (const auto& [service, ports] : services_) {
    for (const auto& [port, states] : ports) count += states.size();
  }
  return count;
}

}  // namespace tombolo::balance
