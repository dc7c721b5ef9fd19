// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/link_rules.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"
#include "link/channel.h"
#include "link/refill.h"

namespace tombolo::agent {

struct GatewayContext;

// What is known of a link that this gateway dials.
struct DialedLinkView {
  LinkTarget target{};
  bool up = false;
  MonotonicTime since{};     // it is that
  link::HeardAt heard_at{};  // of its last control connection; null: there was none
  std::string error{};       // why it is not, or was not the last time
  // Of one that is down: when it is dialled again; none: that is being done.
  std::optional<MonotonicTime> next_dial{};
  std::size_t spares = 0;  // idle
  std::uint64_t attempts = 0;
  std::uint64_t lost = 0;  // times that it was up and ended without a word
  std::uint64_t spares_opened = 0, spares_failed = 0;
  std::uint64_t tunnels = 0;  // that came on spares
};

// Of all links that there have been.
struct DialedLinkCounts {
  std::uint64_t lost = 0, tunnels = 0;  // as in the views
};

// Others than the defaults are for tests.
struct DialedLinkPace {
  Duration first_pause = std::chrono::seconds(1);  // before a link is dialled again
  Duration longest_pause = std::chrono::seconds(30);
  Duration lasting = std::chrono::seconds(30);     // it has worked: the next pause is short again
  Duration least_life = std::chrono::seconds(10);  // of a control connection
  double life = 0.5;  // of what its certificates have left, when another one is made
  // Spares of a link that may come to nothing within one window of time: as many as may be retired
  // and dialled in vain. An acceptor that makes more is given no others until it is over.
  int most_wasted = 2 * link::Refill::kMost;
  Duration wasted_window = std::chrono::seconds(10);
};

// The links of a gateway that nobody can dial: one to each gateway of the clusters that its
// configuration names, dialled again for as long as that is so. For each token that it is given it
// opens a spare: a connection that idles, without a coroutine or a timer, until the other side
// sends a tunnel's first byte on it.
//
// Of one thread, except Views() and counts(). Its coroutines are the context's tasks: they have to
// be gone before it is destroyed.
class DialedLinks {
 public:
  // `serve` gets each connection on which a tunnel has begun.
  DialedLinks(GatewayContext& context, std::function<void(Fd)> serve, DialedLinkPace pace = {});
  ~DialedLinks();

  // After the world has changed.
  void Update();
  // Says goodbye on every link, and dials none any more. Spares stay until the other side, who may
  // have handed one out just now, closes them.
  void Drain();
  // Closes all spares, and keeps none any more: `serve` is not called after that.
  void DropSpares();
  std::size_t up() const;                     // how many, or are just being renewed
  std::vector<DialedLinkView> Views() const;  // any thread
  DialedLinkCounts counts() const;            // any thread

 private:
  class IdleSpare;
  struct Link;
  using LinkPtr = std::shared_ptr<Link>;
  using ChannelPtr = std::unique_ptr<link::Channel>;

  bool Wanted(const Link& link) const;
  absl::Status MayGoOn(const Link& link) const;
  Awaitable<void> Keep(LinkPtr link);
  Awaitable<absl::Status> Hold(LinkPtr link);
  Awaitable<absl::StatusOr<ChannelPtr>> Connect(LinkTarget target, bool renews);
  Awaitable<void> Renew(LinkPtr link);
  static Awaitable<void> CloseOther(ChannelPtr other, std::string why);
  void Take(Link& link, ChannelPtr channel);
  Awaitable<bool> Renewed(Link& link);
  Awaitable<void> EndRenewal(Link& link);
  void OpenSpares(const LinkPtr& link, const link::Offer& offer);
  Awaitable<void> OpenSpare(LinkPtr link, link::Token token);
  void OnSpare(Link& link, IdleSpare& spare, bool begun);
  // Nothing for one that is not configured any more.
  void Note(const Link& link, const std::function<void(DialedLinkView&)>& change);

  GatewayContext& context_;
  const std::function<void(Fd)> serve_;
  const DialedLinkPace pace_;
  std::map<LinkTarget, LinkPtr> links_;
  tls::CredentialsPtr credentials_;  // at the last update
  bool draining_ = false;
  bool dropping_ = false;
  mutable std::mutex mutex_;
  std::map<LinkTarget, DialedLinkView> views_;  // guarded by mutex_
  DialedLinkCounts counts_;                     // guarded by mutex_
};

}  // namespace tombolo::agent
