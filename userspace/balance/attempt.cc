// SPDX-License-Identifier: Apache-2.0
#include "balance/attempt.h"

#include <utility>

namespace tombolo::balance {
namespace {

bool BeginTrial(Health& health, MonotonicTime now) {
  if (!health.OnTrial(now)) return false;
  health.BeginTrial();
  return true;
}

void EndTrial(bool& tries, Health& health) {
  if (std::exchange(tries, false)) health.EndTrial();
}

}  // namespace

Attempt::Attempt(std::shared_ptr<EndpointState> endpoint, std::shared_ptr<Way> way,
                 MonotonicTime now)
    : endpoint_(std::move(endpoint)), way_(std::move(way)), started_(now) {
  ++endpoint_->load.in_flight;
  ++way_->load.in_flight;
  tries_endpoint_ = BeginTrial(endpoint_->health, now);
  tries_way_ = BeginTrial(way_->health, now);
  tries_cluster_ = BeginTrial(way_->cluster->health, now);
}

Attempt& Attempt::operator=(Attempt&& other) noexcept {
  if (this == &other) return *this;
  End();
  endpoint_ = std::move(other.endpoint_);
  way_ = std::move(other.way_);
  started_ = other.started_;
  tries_endpoint_ = other.tries_endpoint_;
  tries_way_ = other.tries_way_;
  tries_cluster_ = other.tries_cluster_;
  return *this;
}

void Attempt::EndTrials() {
  EndTrial(tries_endpoint_, endpoint_->health);
  EndTrial(tries_way_, way_->health);
  EndTrial(tries_cluster_, way_->cluster->health);
}

void Attempt::End() {
  if (endpoint_ == nullptr) return;
  EndTrials();
  --endpoint_->load.in_flight;
  --way_->load.in_flight;
  endpoint_.reset();
  way_.reset();
}

void Attempt::OnConnected(Duration latency, MonotonicTime now) {
  if (endpoint_ == nullptr) return;
  EndTrials();
  endpoint_->load.Add(latency, now);
  way_->load.Add(latency, now);
  way_->OnSuccess(now);
  if (endpoint_->health.OnSuccess(now)) ++way_->changes->health;
}

void Attempt::OnFailure(Failure what, MonotonicTime now) {
  if (endpoint_ == nullptr) return;
  EndTrials();
  if (what == Failure::kWay) return way_->OnFailure(started_, now);
  way_->OnSuccess(now);
  if (endpoint_->health.OnFailure(started_, now)) ++way_->changes->health;
}

void Attempt::OnAnswered() {
  if (endpoint_ != nullptr) endpoint_->health.OnAnswer();
}

void Attempt::OnReset(MonotonicTime now) {
  if (endpoint_ != nullptr && endpoint_->health.OnReset(started_, now)) ++way_->changes->health;
}

}  // namespace tombolo::balance
