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

// A tunnel that is idle, and told of what arrives.
class Pool::Idle final : private net::EdgeListener {
 public:
  Idle(Pool& pool, std::unique_ptr<Tunnel> tunnel) : pool_(pool), tunnel_(std::move(tunnel)) {
    tunnel_->stream().SetListener(this);
  }
  std::unique_ptr<Tunnel> Release() {
    tunnel_->stream().SetListener(nullptr);
    return std::move(tunnel_);
  }
  Tunnel& tunnel() const { return *tunnel_; }

 private:
  void OnEdge() override { pool_.Inspect(*this); }

  Pool& pool_;
  std::unique_ptr<Tunnel> tunnel_;
};

Pool::Pool(net::Poller& poller, Options options)
    : poller_(poller),
      options_(std::move(options)),
      sweep_timer_(poller, [this] { Sweep(); }),
      tasks_(poller.io().get_executor()) {
  sweep_timer_.ExpireAt(After(kSweepInterval));
}

Pool::~Pool() = default;

// Destroys `idle`.
std::unique_ptr<Tunnel> Pool::Remove(const Idle& idle) {
  const auto bucket = idle_.find(idle.tunnel().pool_key);
  auto& all = bucket->second;
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.get() == &idle; });
  std::unique_ptr<Tunnel> removed = (*at)->Release();
  all.erase(at);
  if (all.empty()) idle_.erase(bucket);
  --size_;
  return removed;
}

std::unique_ptr<Tunnel> Pool::Take(const std::string& key) {
  for (auto bucket = idle_.find(key); bucket != idle_.end(); bucket = idle_.find(key)) {
    auto tunnel = Remove(*bucket->second.back());
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
  const auto same = idle_.find(tunnel->pool_key);
  const std::size_t idle_already = same == idle_.end() ? 0 : same->second.size();
  if (idle_already >= options_.max_per_key) return Discard(std::move(tunnel));
  tunnel->last_used = std::chrono::steady_clock::now();
  auto& bucket = idle_[tunnel->pool_key];
  bucket.push_back(std::make_unique<Idle>(*this, std::move(tunnel)));
  ++size_;
  // What arrived before it was watched gave its edge already.
  Inspect(*bucket.back());
}

// Takes what has arrived, and with it the tunnel's place if it is of no more use: so a
// dead tunnel is rarely handed out.
void Pool::Inspect(Idle& idle) {
  Tunnel& tunnel = idle.tunnel();
  if (!tunnel.stream().socket().readable()) return;
  absl::StatusOr<tls::Record> record = tunnel.stream().TryReceive();
  for (; record.ok(); record = tunnel.stream().TryReceive()) {
    const absl::StatusOr<Message> message = tunnel.Understand(*record);
    if (absl::IsNotFound(message.status())) continue;
    absl::Status why = message.status();
    if (message.ok()) {
      why = absl::InvalidArgumentError(absl::StrCat(Name(message->type), " on an idle tunnel"));
    }
    Report(tunnel, why);
    return tasks_.Spawn(EndBroken(Remove(idle), std::string(why.message())));
  }
  if (ErrnoOf(record.status()) != EAGAIN) {
    Report(tunnel, record.status());
    Discard(Remove(idle));
  } else if (!tunnel.reusable()) {
    Discard(Remove(idle));
  }
}

void Pool::Report(const Tunnel& tunnel, const absl::Status& status) const {
  if (absl::IsInvalidArgument(status) && options_.on_protocol_error) {
    options_.on_protocol_error(tunnel, status);
  }
}

Awaitable<void> Pool::EndBroken(std::unique_ptr<Tunnel> tunnel, std::string why) {
  co_await tunnel->Reset(proto::CODE_PROTOCOL_ERROR, std::move(why));
}

void Pool::Discard(std::unique_ptr<Tunnel> tunnel) {
  if (shut_down_) return;  // destroys it: the socket closes without a farewell
  tasks_.Spawn(SayGoodbye(std::move(tunnel)));
}

Awaitable<void> Pool::SayGoodbye(std::unique_ptr<Tunnel> tunnel) { co_await tunnel->Close(); }

void Pool::DiscardIf(const std::function<bool(const Tunnel&)>& stale) {
  std::vector<const Idle*> found;
  for (const auto& [key, bucket] : idle_) {
    for (const auto& idle : bucket) {
      if (stale(idle->tunnel())) found.push_back(idle.get());
    }
  }
  for (const Idle* idle : found) Discard(Remove(*idle));
}

void Pool::ForEach(const std::function<void(const Tunnel&)>& visit) const {
  for (const auto& [key, bucket] : idle_) {
    for (const auto& idle : bucket) visit(idle->tunnel());
  }
}

void Pool::Sweep() {
  sweep_timer_.ExpireAt(After(kSweepInterval));
  const MonotonicTime oldest = std::chrono::steady_clock::now() - options_.idle_limit;
  DiscardIf(
      [oldest](const Tunnel& tunnel) { return tunnel.last_used <= oldest || !tunnel.reusable(); });
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
