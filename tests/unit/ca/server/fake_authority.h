// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/handlers.h"

namespace tombolo::ca::https {

// Answers as a test tells it, and remembers what it was asked. Any thread.
class FakeAuthority {
 public:
  using Reply = std::function<absl::StatusOr<std::string>(const EnrolRequest&)>;

  Handlers handlers() {
    return {.enrol = [this](EnrolRequest request,
                            Handlers::EnrolAnswer answer) { Enrol(request, std::move(answer)); },
            .published = [this] { return published(); },
            .acknowledged = [this](const SpiffeId& node,
                                   std::uint64_t sequence) { Acknowledge(node, sequence); }};
  }

  void ReplyWith(Reply reply) {
    const std::lock_guard lock(mutex_);
    reply_ = std::move(reply);
  }
  // Keeps requests without an answer from now on.
  void Hold() { ReplyWith(nullptr); }
  // Answers what is kept, once there are `count` of them.
  void AnswerHeld(std::size_t count, const absl::StatusOr<std::string>& answer) {
    for (const auto& held : TakeHeld(count)) held(answer);
  }
  std::vector<Handlers::EnrolAnswer> TakeHeld(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return held_.size() >= count; });
    return std::exchange(held_, {});
  }

  void Publish(Published published) {
    const std::lock_guard lock(mutex_);
    published_ = std::make_shared<const Published>(std::move(published));
  }
  std::vector<EnrolRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::vector<std::pair<std::string, std::uint64_t>> acknowledged() const {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }

 private:
  void Enrol(const EnrolRequest& request, Handlers::EnrolAnswer answer) {
    std::unique_lock lock(mutex_);
    requests_.push_back(request);
    if (reply_ == nullptr) {
      held_.push_back(std::move(answer));
      changed_.notify_all();
      return;
    }
    const Reply reply = reply_;
    lock.unlock();
    answer(reply(request));
  }
  void Acknowledge(const SpiffeId& node, std::uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    acknowledged_.emplace_back(node.text(), sequence);
  }
  std::shared_ptr<const Published> published() const {
    const std::lock_guard lock(mutex_);
    return published_;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Reply reply_;
  std::vector<Handlers::EnrolAnswer> held_;
  std::vector<EnrolRequest> requests_;
  std::vector<std::pair<std::string, std::uint64_t>> acknowledged_;
  std::shared_ptr<const Published> published_;
};

}  // namespace tombolo::ca::https
