// SPDX-License-Identifier: Apache-2.0
#include "tunnel/pool.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace tombolo::tunnel {
namespace {

constexpr Duration kSweepInterval = std::chrono::seconds(1);
// For the goodbyes of all tunnels together, when shutting down.
constexpr Duration kFarewell = std::chrono::seconds(2);

}  // namespace

Pool::Pool(net::Poller& poller, Options options)
    : poller_(poller),
      options_(std::move(options)),
      sweep_timer_(poller, [this] { Sweep(); }),
      tasks_(poller.io().get_executor()) {
  sweep_timer_.ExpireAt(After(kSweepInterval));
}

std::unique_ptr<Tunnel> Pool::Remove(const std::string& key, const Tunnel* tunnel) {
  const auto bucket = idle_.find(key);
  if (bucket == idle_.end()) return nullptr;
  auto& tunnels = bucket->second;
  const auto at = std::find_if(tunnels.begin(), tunnels.end(),
                               [&](const Idle& idle) { return idle.tunnel.get() == tunnel; });
  if (at == tunnels.end()) return nullptr;
  std::unique_ptr<Tunnel> removed = std::move(at->tunnel);
  tunnels.erase(at);
  if (tunnels.empty()) idle_.erase(bucket);
  --size_;
  removed->stream().socket().OnReadable(nullptr);
  return removed;
}

std::unique_ptr<Tunnel> Pool::Take(const std::string& key) {
  for (auto bucket = idle_.find(key); bucket != idle_.end(); bucket = idle_.find(key)) {
    auto tunnel = Remove(key, bucket->second.back().tunnel.get());
    if (tunnel->reusable()) return tunnel;
    Discard(std::move(tunnel));
  }
  return nullptr;
}

void Pool::Put(std::unique_ptr<Tunnel> tunnel) {
  if (shut_down_ || !tunnel->reusable() || !tunnel->stream().quiet() ||
      size_ >= options_.max_idle) {
    return Discard(std::move(tunnel));
  }
  tunnel->last_used = std::chrono::steady_clock::now();
  const std::string key = tunnel->pool_key;
  const auto bucket = idle_.find(key);
  const std::size_t idle_already = bucket == idle_.end() ? 0 : bucket->second.size();
  if (idle_already >= options_.max_per_key) return Discard(std::move(tunnel));
  Tunnel* raw = tunnel.get();
  raw->stream().socket().OnReadable([this, key, raw] { Inspect(key, raw); });
  idle_[key].push_back({std::move(tunnel), std::chrono::steady_clock::now()});
  ++size_;
  // What arrived before the watch was set gave its edge already.
  if (raw->stream().socket().readable()) Inspect(key, raw);
}

void Pool::Inspect(const std::string& key_in, Tunnel* raw) {
  const std::string key = key_in;  // belongs to the callback, which may go away below
  absl::StatusOr<tls::Record> record = raw->stream().TryReceive();
  if (ErrnoOf(record.status()) == EAGAIN) return;
  std::unique_ptr<Tunnel> tunnel = Remove(key, raw);
  if (tunnel == nullptr) return;
  if (record.ok()) {
    tasks_.Spawn(Attend(std::move(tunnel), *record));
  } else {
    Report(*tunnel, record.status());
    Discard(std::move(tunnel));
  }
}

void Pool::Report(const Tunnel& tunnel, const absl::Status& status) const {
  if (absl::IsInvalidArgument(status) && options_.on_protocol_error) {
    options_.on_protocol_error(tunnel, status);
  }
}

Awaitable<void> Pool::Attend(std::unique_ptr<Tunnel> tunnel, tls::Record record) {
  for (;;) {
    const absl::StatusOr<Message> message = co_await tunnel->Understand(record);
    if (!absl::IsNotFound(message.status())) {
      absl::Status why = message.status();
      if (message.ok()) {
        why = absl::InvalidArgumentError(absl::StrCat(Name(message->type), " on an idle tunnel"));
      }
      Report(*tunnel, why);
      co_await tunnel->Reset(proto::CODE_PROTOCOL_ERROR, std::string(why.message()));
      co_return;
    }
    // More may have come in the same read.
    const absl::StatusOr<tls::Record> next = tunnel->stream().TryReceive();
    if (ErrnoOf(next.status()) == EAGAIN) co_return Put(std::move(tunnel));
    if (!next.ok()) {
      Report(*tunnel, next.status());
      co_return Discard(std::move(tunnel));
    }
    record = *next;
  }
}

void Pool::Discard(std::unique_ptr<Tunnel> tunnel) {
  if (shut_down_) return;  // destroys it: the socket closes without a farewell
  tasks_.Spawn(SayGoodbye(std::move(tunnel)));
}

Awaitable<void> Pool::SayGoodbye(std::unique_ptr<Tunnel> tunnel) { co_await tunnel->Close(); }

void Pool::DiscardIf(const std::function<bool(const Tunnel&)>& stale) {
  std::vector<std::pair<std::string, const Tunnel*>> found;
  for (const auto& [key, tunnels] : idle_) {
    for (const Idle& idle : tunnels) {
      if (stale(*idle.tunnel)) found.emplace_back(key, idle.tunnel.get());
    }
  }
  for (const auto& [key, tunnel] : found) Discard(Remove(key, tunnel));
}

void Pool::ForEach(const std::function<void(const Tunnel&)>& visit) const {
  for (const auto& [key, tunnels] : idle_) {
    for (const Idle& idle : tunnels) visit(*idle.tunnel);
  }
}

void Pool::Sweep() {
  sweep_timer_.ExpireAt(After(kSweepInterval));
  const MonotonicTime oldest = std::chrono::steady_clock::now() - options_.idle_limit;
  std::vector<std::pair<std::string, const Tunnel*>> expired;
  for (const auto& [key, tunnels] : idle_) {
    for (const Idle& idle : tunnels) {
      if (idle.since <= oldest || !idle.tunnel->reusable()) {
        expired.emplace_back(key, idle.tunnel.get());
      }
    }
  }
  for (const auto& [key, tunnel] : expired) Discard(Remove(key, tunnel));
}

Awaitable<void> Pool::ShutDown() {
  DiscardIf([](const Tunnel&) { return true; });
  shut_down_ = true;
  sweep_timer_.Cancel();
  // A tunnel that ends without close_notify looks like a truncation to its acceptor.
  net::Timer patience(poller_, [this] { tasks_.Cancel(); });
  patience.ExpireAt(After(kFarewell));
  co_await tasks_.Join();
}

}  // namespace tombolo::tunnel
