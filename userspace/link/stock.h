// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/time.h"
#include "link/channel.h"
#include "link/refill.h"
#include "link/tokens.h"

namespace tombolo::link {

// A connection that another cluster's gateway has dialled and left behind, for one tunnel.
struct Spare {
  Fd socket{};                   // nothing has come on it behind its token
  std::shared_ptr<void> held{};  // what lasts as long as the connection: its share of the limits
  MonotonicTime since{};         // set by the stock
};

// The links that a gateway has accepted, and their spares. All data threads share one: a tunnel
// may take a spare that another thread has accepted.
//
// Any thread. The lock is held for look-ups and, at a take, for a look at the spare's state; never
// while bytes move. What it calls is called with the lock, and may not call back: it posts.
class Stock {
 public:
  // When a spare is replaced, whatever is between the clusters has not forgotten it yet
  // (RFC 5382, REQ-5, asks translators for two hours, and many give minutes).
  static constexpr Duration kMaxAge = std::chrono::minutes(4);
  // It is closed when its replacement is there, or so much later.
  static constexpr Duration kGrace = std::chrono::minutes(1);
  // Tunnels for one cluster that wait for a spare; several times what one address may have begun.
  static constexpr std::size_t kMostWaiting = 4096;

  // Whose link it is, and what its owner is told.
  struct Owner {
    std::string cluster{}, gateway{};
    std::uint32_t most_spares = 0;   // that the other side keeps
    bool renews = false;             // it still has those of the link before
    HeardAt heard_at{};              // for View(); null: not known
    std::function<void()> refill{};  // HandOut() may have something
    std::function<void()>
        replaced{};  // the same gateway has another link, which has everything now
  };

  // A link for as long as it is accepted. Destroying the one that is current closes its spares and
  // forgets its tokens.
  class Membership {
   public:
    Membership(Stock& stock, LinkId link, std::uint64_t number)
        : stock_(stock), link_(link), number_(number) {}
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership() { stock_.Remove(link_, number_); }
    // The tokens that the other side is to be given now, at most link::kMaxTokens of them. None:
    // there are enough spares, or tokens on their way; or it has been replaced.
    std::vector<Token> HandOut(MonotonicTime now) { return stock_.HandOut(link_, number_, now); }

   private:
    Stock& stock_;
    const LinkId link_;
    const std::uint64_t number_;
  };
  std::unique_ptr<Membership> Add(Owner owner, MonotonicTime now);

  // Keeps `spare` if `token` is good. Otherwise why not, and it is closed.
  std::optional<TokenRefusal> Redeem(const Token& token, Spare spare, MonotonicTime now);
  // Of what has not even a token that could be looked up.
  void CountRefused(TokenRefusal refusal);

  struct Taken {
    Spare spare;
    std::string cluster, gateway;  // whose it was
  };
  // Waits for a spare. Destroying it gives up.
  class Wish {
   public:
    Wish(Stock& stock, std::string cluster, std::function<void()> ready)
        : stock_(stock), cluster_(std::move(cluster)), ready_(std::move(ready)) {}
    Wish(const Wish&) = delete;
    Wish& operator=(const Wish&) = delete;
    ~Wish() { stock_.GiveUp(*this); }
    // False: Take() has one, or had it, or the last link of the cluster has ended.
    bool Waits();
    // Once there is one; later calls have none.
    std::optional<Taken> Take();

   private:
    friend class Stock;
    Stock& stock_;
    const std::string cluster_;
    const std::function<void()> ready_;
    std::optional<Taken> taken_;                         // guarded by the stock's lock
    std::optional<std::list<Wish*>::iterator> waiting_;  // the same
  };
  // The newest spare that is alive, of one link after the other, so that the gateways at their
  // other ends have equal shares: at once, or `ready` is called, as it is when the last link of
  // the cluster ends.
  // NotFound: the cluster has no link. ResourceExhausted: too many wait already.
  absl::StatusOr<std::unique_ptr<Wish>> Want(const std::string& cluster,
                                             std::function<void()> ready, MonotonicTime now);

  struct LinkView {
    std::string cluster{}, gateway{};
    MonotonicTime since{};
    HeardAt heard_at{};                  // null: not known
    std::size_t spares = 0, tokens = 0;  // tokens: handed out and not shown yet
    std::uint32_t wanted = 0;            // spares that are to be kept
    std::uint64_t taken = 0;             // by tunnels, in all
  };
  std::vector<LinkView> View(MonotonicTime now);
  struct Counts {
    std::uint64_t redeemed = 0, taken = 0;
    std::uint64_t refused[static_cast<std::size_t>(TokenRefusal::kCount)] = {};
    std::size_t waiting = 0;
  };
  Counts counts();

 private:
  using Name = std::pair<std::string, std::string>;  // cluster, gateway
  struct Link {
    Link(LinkId link_id, std::uint32_t most) : id(link_id), tokens(link_id), refill(most) {}
    LinkId id;
    std::uint64_t number = 0;  // of its current membership
    Owner owner{};
    Tokens tokens;
    Refill refill;
    MonotonicTime since{};
    MonotonicTime tidied{};
    std::deque<Spare> spares{};  // the oldest first
    std::uint64_t taken = 0;
    std::uint64_t last_turn = 0;  // when it gave one
  };

  void Remove(LinkId id, std::uint64_t number);
  std::vector<Token> HandOut(LinkId id, std::uint64_t number, MonotonicTime now);
  void GiveUp(Wish& wish);

  // With the lock.
  std::map<Name, Link>::iterator FindLink(LinkId id);  // or the end
  std::optional<Taken> TakeFrom(Link& link, const Name& name, MonotonicTime now);
  std::optional<Taken> TakeOf(const std::string& cluster, MonotonicTime now);
  static void Tidy(Link& link, std::size_t wanted, MonotonicTime now);
  std::size_t WaitingFor(const std::string& cluster) const;
  bool HasLink(const std::string& cluster) const;

  std::mutex mutex_;
  // All guarded by mutex_.
  std::map<Name, Link> links_;
  std::map<std::string, std::list<Wish*>> waiting_;  // by cluster; never empty lists
  absl::flat_hash_map<LinkId, std::map<Name, Link>::iterator> links_by_id_;
  Counts counts_;
  std::uint64_t last_number_ = 0;  // of ids and memberships
  std::uint64_t last_turn_ = 0;
};

}  // namespace tombolo::link
