// SPDX-License-Identifier: Apache-2.0
#include "tunnel/pool.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "net/socket.h"

namespace tombolo::tunnel {
namespace {

constexpr Duration kSweepInterval = std::chrono::seconds(1);
constexpr Duration kShortestSweep = std::chrono::milliseconds(10);
constexpr int kSweepsPerPing = 3;  // at least: so often a tunnel in doubt gets another witness
// For the goodbyes of all tunnels together, when shutting down.
constexpr Duration kFarewell = std::chrono::seconds(2);

// Nobody is there for a farewell: the kernel would repeat it for minutes.
void Abandon(Tunnel& tunnel) {
  net::ResetOnClose(tunnel.stream().socket().get());
  tunnel.stream().socket().Close();
}

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
      swept_at_(options_.now()),
      sweep_timer_(poller,
                   [this] {
                     SweepLater();
                     Sweep();
                   }),
      tasks_(poller.io().get_executor()) {
  SweepLater();
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

const Tunnel* Pool::Next(const std::string& key) const {
  const auto bucket = idle_.find(key);
  if (bucket == idle_.end()) return nullptr;
  const auto& all = bucket->second;
  const auto next = std::find_if(all.rbegin(), all.rend(),
                                 [](const auto& idle) { return idle->tunnel().reusable(); });
  return next == all.rend() ? nullptr : &(*next)->tunnel();
}

void Pool::Put(std::unique_ptr<Tunnel> tunnel) {
  if (shut_down_ || !tunnel->reusable() || !tunnel->stream().quiet() ||
      size_ >= options_.max_idle) {
    return Discard(std::move(tunnel));
  }
  const auto same = idle_.find(tunnel->pool_key);
  const std::size_t idle_already = same == idle_.end() ? 0 : same->second.size();
  if (idle_already >= options_.max_per_key) return Discard(std::move(tunnel));
  tunnel->last_used = tunnel->heard_at = options_.now();
  tunnel->ForgetPing();  // what it was asked before, it has answered since
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
    const std::optional<MonotonicTime> asked_at = tunnel.asked_at();
    const absl::StatusOr<Message> message = tunnel.Understand(*record);
    if (absl::IsNotFound(message.status())) {
      OnSignOfLife(tunnel, asked_at);
      continue;
    }
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

std::vector<const Pool::Idle*> Pool::Find(const std::function<bool(const Tunnel&)>& which) const {
  std::vector<const Idle*> found;
  for (const auto& [key, bucket] : idle_) {
    for (const auto& idle : bucket) {
      if (which(idle->tunnel())) found.push_back(idle.get());
    }
  }
  return found;
}

void Pool::DiscardIf(const std::function<bool(const Tunnel&)>& stale) {
  for (const Idle* idle : Find(stale)) Discard(Remove(*idle));
}

void Pool::ForEach(const std::function<void(const Tunnel&)>& visit) const {
  for (const auto& [key, bucket] : idle_) {
    for (const auto& idle : bucket) visit(idle->tunnel());
  }
}

void Pool::SweepLater() {
  Duration interval = kSweepInterval;
  if (options_.ping != Duration::zero()) {
    interval = std::clamp(options_.ping / kSweepsPerPing, kShortestSweep, kSweepInterval);
  }
  sweep_timer_.ExpireAt(After(interval));
}

void Pool::Sweep() {
  const MonotonicTime oldest = options_.now() - options_.idle_limit;
  DiscardIf(
      [oldest](const Tunnel& tunnel) { return tunnel.last_used <= oldest || !tunnel.reusable(); });
  if (options_.ping != Duration::zero()) AskForSignsOfLife();
}

void Pool::AskForSignsOfLife() {
  // This thread, or the machine, may have stood still: then answers have had no chance to be read.
  const MonotonicTime now = options_.now();
  const bool stalled = now - swept_at_ >= options_.ping;
  swept_at_ = now;
  std::vector<const Idle*> silent;
  for (const auto& [key, bucket] : idle_) AskOne(bucket, stalled, silent);
  std::map<std::string, std::unique_ptr<Tunnel>> asked_first;  // of each way
  for (const Idle* idle : silent) {
    std::unique_ptr<Tunnel> tunnel = Remove(*idle);
    Abandon(*tunnel);
    std::unique_ptr<Tunnel>& first = asked_first[tunnel->peer_address];
    if (first == nullptr || *tunnel->asked_at() < *first->asked_at()) first = std::move(tunnel);
  }
  for (const auto& [way, tunnel] : asked_first) {
    if (!HeardOnWaySince(way, *tunnel->asked_at())) DropWay(*tunnel);
  }
}

// Of each way that the bucket's tunnels take, asks the first from the back that does not owe an
// answer, if it is time or those behind it do. Adds those that owe one for too long to `silent`.
void Pool::AskOne(const Bucket& bucket, bool stalled, std::vector<const Idle*>& silent) const {
  const MonotonicTime now = options_.now();
  std::map<absl::string_view, bool> ways;  // whether its turn is over
  for (auto idle = bucket.rbegin(); idle != bucket.rend(); ++idle) {
    Tunnel& tunnel = (*idle)->tunnel();
    const auto [way, first] = ways.try_emplace(tunnel.peer_address, false);
    if (way->second) continue;
    if (const auto asked_at = tunnel.asked_at()) {
      if (stalled) {
        tunnel.ForgetPing();  // asked again in the next sweep, unless the answer is there by then
      } else if (now - *asked_at >= options_.ping) {
        silent.push_back(idle->get());
      }
      continue;
    }
    // If it cannot be sent the socket has failed, of which its edge tells, or is full.
    if (!first || now - tunnel.heard_at >= options_.ping) (void)tunnel.Ping(now);
    way->second = true;
  }
}

bool Pool::HeardOnWaySince(const std::string& way, MonotonicTime when) const {
  bool heard = false;
  ForEach([&](const Tunnel& tunnel) {
    heard = heard || (tunnel.peer_address == way && tunnel.heard_at > when);
  });
  return heard;
}

void Pool::DropWay(const Tunnel& dead) {
  const auto same = [&](const Tunnel& t) { return t.peer_address == dead.peer_address; };
  for (const Idle* idle : Find(same)) Abandon(*Remove(*idle));
  if (options_.on_way_dead) options_.on_way_dead(dead);
}

void Pool::OnSignOfLife(Tunnel& tunnel, std::optional<MonotonicTime> asked_at) const {
  tunnel.heard_at = options_.now();
  const bool answered = asked_at && !tunnel.asked_at();
  if (answered && options_.on_round_trip) {
    options_.on_round_trip(tunnel, tunnel.heard_at - *asked_at);
  }
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
