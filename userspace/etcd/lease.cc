// SPDX-License-Identifier: Apache-2.0
#include "etcd/lease.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/backoff.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

constexpr Duration kShortest = std::chrono::seconds(3);

Client::Options Bounded(Client::Options client, Duration call) {
  client.call = std::min(client.call, call);
  client.answer = std::min(client.answer, call);
  client.connect = std::min(client.connect, call);
  return client;
}

}  // namespace

class KeptLease::Impl {
 public:
  Impl(Options options, OnHeld on_held, OnLost on_lost)
      : ttl_(std::max(options.ttl, kShortest)),
        step_(ttl_ / 3),
        on_held_(std::move(on_held)),
        on_lost_(std::move(on_lost)),
        client_(Bounded(std::move(options.client), step_ / 2)),
        backoff_(options.first_delay, options.max_delay) {
    thread_ = std::thread([this] { Run(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  std::int64_t held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }

 private:
  void Run() {
    do {
      const MonotonicTime asked = std::chrono::steady_clock::now();
      const absl::StatusOr<std::int64_t> lease = client_.GrantLease(ttl_);
      if (!lease.ok()) {
        client_.ForgetCluster();
        continue;
      }
      backoff_.Reset();
      SetHeld(*lease);
      on_held_(*lease);
      const absl::Status lost = Keep(*lease, asked + ttl_);
      SetHeld(0);
      if (lost.ok()) {
        (void)client_.RevokeLease(*lease);  // without an answer it ends by itself
        return;
      }
      on_lost_(lost);
    } while (!Sleep(backoff_.Next()));
  }

  // Until it is lost; OK: until nobody wants it any more.
  absl::Status Keep(std::int64_t lease, MonotonicTime expires) {
    absl::Status failure;
    Duration wait = step_;
    for (;;) {
      if (Sleep(wait)) return absl::OkStatus();
      const MonotonicTime asked = std::chrono::steady_clock::now();
      if (asked + step_ / 2 > expires) {  // the answer could come when it is over
        return failure.ok() ? absl::UnavailableError("was not kept alive in time") : failure;
      }
      const absl::StatusOr<Duration> left = client_.KeepAlive(lease);
      if (absl::IsNotFound(left.status())) return left.status();
      // Restored from a backup it may have another ID, and knows the lease perhaps.
      if (!left.ok()) client_.ForgetCluster();
      failure = left.status();
      wait = left.ok() ? step_ : step_ / 10;
      if (left.ok()) expires = asked + *left;
    }
  }

  // True: stop.
  bool Sleep(Duration delay) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, delay, [this] { return stopping_; });
  }

  void SetHeld(std::int64_t lease) {
    const std::lock_guard lock(mutex_);
    held_ = lease;
  }

  const Duration ttl_, step_;
  const OnHeld on_held_;
  const OnLost on_lost_;
  Client client_;
  Backoff backoff_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_, as held_
  std::int64_t held_ = 0;
  std::thread thread_;
};

KeptLease::KeptLease(Options options, OnHeld on_held, OnLost on_lost)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(on_held), std::move(on_lost))) {}
KeptLease::~KeptLease() = default;

std::int64_t KeptLease::held() const { return impl_->held(); }

}  // namespace tombolo::etcd
