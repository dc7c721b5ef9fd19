// SPDX-License-Identifier: Apache-2.0
#include "link/stock.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "link/messages.h"
#include "net/socket.h"

namespace tombolo::link {
namespace {

using std::chrono::seconds;

class StockTest : public ::testing::Test {
 protected:
  // What another cluster's gateway has of a spare: its end, and whether ours is still there.
  struct Left {
    Fd peer;
    std::weak_ptr<int> held;
    bool kept() const { return !held.expired(); }
  };

  std::unique_ptr<Stock::Membership> Add(const std::string& gateway = "gw-1",
                                         std::uint32_t most = 100,
                                         const std::string& cluster = "south", bool renews = true) {
    return stock_.Add({.cluster = cluster,
                       .gateway = gateway,
                       .most_spares = most,
                       .renews = renews,
                       .refill = [this] { ++refills_; },
                       .replaced = [this] { ++replaced_; }},
                      now_);
  }
  // Shows a token on a new connection.
  Left Show(const Token& token, std::optional<TokenRefusal> expected = std::nullopt) {
    auto [ours, theirs] = *net::LoopbackPair();
    auto held = std::make_shared<int>(0);
    Left left{std::move(theirs), held};
    EXPECT_EQ(stock_.Redeem(token, {.socket = std::move(ours), .held = std::move(held)}, now_),
              expected);
    return left;
  }
  // Does what the peer of a link does.
  std::vector<Left> Fill(Stock::Membership& link) {
    std::vector<Left> spares;
    for (const Token& token : link.HandOut(now_)) spares.push_back(Show(token));
    return spares;
  }
  std::unique_ptr<Stock::Wish> Want(const std::string& cluster = "south") {
    auto wish = stock_.Want(
        cluster, [this] { ++ready_; }, now_);
    EXPECT_TRUE(wish.ok()) << wish.status();
    return wish.ok() ? *std::move(wish) : nullptr;
  }
  std::size_t Spares() {
    std::size_t sum = 0;
    for (const Stock::LinkView& view : stock_.View(now_)) sum += view.spares;
    return sum;
  }
  // Bytes go from the spare that was taken to that end.
  static void ExpectJoined(const Stock::Taken& taken, const Left& left) {
    ASSERT_EQ(send(taken.spare.socket.get(), "x", 1, MSG_NOSIGNAL), 1);
    char byte = 0;
    ASSERT_EQ(recv(left.peer.get(), &byte, 1, 0), 1);
    EXPECT_EQ(byte, 'x');
  }

  MonotonicTime now_{std::chrono::hours(1)};
  std::atomic<int> refills_{0}, replaced_{0}, ready_{0};
  Stock stock_;
};

TEST_F(StockTest, TokensAreHandedOutForWhatIsMissing) {
  const auto link = Add();
  const auto tokens = link->HandOut(now_);
  EXPECT_EQ(tokens.size(), Refill::kLeast);
  EXPECT_TRUE(link->HandOut(now_).empty()) << "they are on their way";
  std::vector<Left> spares;
  for (const Token& token : tokens) spares.push_back(Show(token));
  EXPECT_EQ(Spares(), Refill::kLeast);
  EXPECT_TRUE(link->HandOut(now_).empty());
  EXPECT_EQ(stock_.counts().redeemed, Refill::kLeast);
}

// The gateway at its other end has been started again: what it had is dead.
TEST_F(StockTest, AFreshLinkOfTheSameGatewayHasNothingOfTheOld) {
  const auto old = Add();
  const auto spares = Fill(*old);
  now_ += Tokens::kLifetime;
  const auto wish = Want();
  const auto tokens = old->HandOut(now_);
  ASSERT_FALSE(tokens.empty());
  const auto fresh = Add("gw-1", 100, "south", /*renews=*/false);
  EXPECT_EQ(replaced_, 1);
  EXPECT_EQ(Spares(), 0u);
  EXPECT_FALSE(spares[0].kept());
  Show(tokens[0], TokenRefusal::kUnknown);
  EXPECT_EQ(fresh->HandOut(now_).size(), Refill::kLeast + 2);
}

TEST_F(StockTest, WhoWaitsIsToldWhenTheLastLinkEnds) {
  auto one = Add("gw-1"), two = Add("gw-2");
  const auto wish = Want();
  EXPECT_TRUE(wish->Waits());
  one.reset();
  EXPECT_TRUE(wish->Waits());
  EXPECT_EQ(ready_, 0);
  two.reset();
  EXPECT_FALSE(wish->Waits());
  EXPECT_FALSE(wish->Take().has_value());
  EXPECT_EQ(ready_, 1);
  EXPECT_EQ(stock_.counts().waiting, 0u);
}

TEST_F(StockTest, TokensThatNobodyUsesAreReplaced) {
  const auto link = Add();
  const auto lost = link->HandOut(now_);
  now_ += Tokens::kLifetime;
  EXPECT_EQ(link->HandOut(now_).size(), Refill::kLeast);
  Show(lost[0], TokenRefusal::kExpired);
}

TEST_F(StockTest, ABadTokenLeavesNothingBehind) {
  const auto link = Add();
  const auto tokens = link->HandOut(now_);
  const Left good = Show(tokens[0]);
  EXPECT_TRUE(good.kept());
  EXPECT_FALSE(Show(tokens[0], TokenRefusal::kUsed).kept());
  EXPECT_FALSE(Show(Token{}, TokenRefusal::kUnknown).kept());
  stock_.CountRefused(TokenRefusal::kVersion);
  const Stock::Counts counts = stock_.counts();
  EXPECT_EQ(counts.redeemed, 1u);
  for (const TokenRefusal why :
       {TokenRefusal::kUsed, TokenRefusal::kUnknown, TokenRefusal::kVersion}) {
    EXPECT_EQ(counts.refused[static_cast<std::size_t>(why)], 1u) << Name(why);
  }
  EXPECT_EQ(Spares(), 1u);
}

TEST_F(StockTest, ATunnelTakesTheNewestAndAnotherIsOrdered) {
  const auto link = Add();
  const auto spares = Fill(*link);
  refills_ = 0;
  const auto taken = Want()->Take();
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->cluster, "south");
  EXPECT_EQ(taken->gateway, "gw-1");
  ExpectJoined(*taken, spares.back());
  EXPECT_TRUE(spares.back().kept()) << "its share lasts as long as the connection";
  EXPECT_EQ(refills_, 1);
  EXPECT_EQ(Spares(), Refill::kLeast - 1);
  // The one that is gone, and two because one was taken in this second.
  EXPECT_EQ(link->HandOut(now_).size(), 3u);
}

TEST_F(StockTest, OneThatHasDiedIsSkipped) {
  const auto link = Add();
  auto spares = Fill(*link);
  spares[3].peer.Close();                                          // its end has come
  ASSERT_EQ(send(spares[2].peer.get(), "x", 1, MSG_NOSIGNAL), 1);  // speaks out of turn
  ASSERT_EQ(shutdown(spares[1].peer.get(), SHUT_WR), 0);
  const auto taken = Want()->Take();
  ASSERT_TRUE(taken.has_value());
  ExpectJoined(*taken, spares[0]);
  for (int i : {1, 2, 3}) EXPECT_FALSE(spares[static_cast<std::size_t>(i)].kept()) << i;
  EXPECT_EQ(Spares(), 0u);
}

TEST_F(StockTest, LinksGiveInTurn) {
  const auto one = Add("gw-1"), two = Add("gw-2"), other = Add("gw-1", 100, "west");
  std::vector<Left> spares;
  const auto fill = [&] {
    for (Stock::Membership* link : {one.get(), two.get(), other.get()}) {
      for (Left& spare : Fill(*link)) spares.push_back(std::move(spare));
    }
  };
  std::vector<Stock::Taken> taken;
  for (int i = 0; i < 20; ++i) {
    fill();  // however fast they are refilled
    taken.push_back(*Want()->Take());
  }
  for (const Stock::LinkView& view : stock_.View(now_)) {
    EXPECT_EQ(view.taken, view.cluster == "west" ? 0u : 10u) << view.gateway;
  }
  // One that has none is passed over.
  auto third = Add("gw-3");
  EXPECT_NE(Want()->Take()->gateway, "gw-3");
}

TEST_F(StockTest, WithoutALinkNobodyWaits) {
  const auto other = Add("gw-1", 100, "southern");
  EXPECT_TRUE(absl::IsNotFound(stock_
                                   .Want(
                                       "south", [] {}, now_)
                                   .status()));
}

TEST_F(StockTest, WhoWaitsGetsTheNextOneInTurn) {
  const auto link = Add();
  const auto tokens = link->HandOut(now_);
  refills_ = 0;
  const auto first = Want(), second = Want();
  EXPECT_EQ(refills_, 2);
  EXPECT_EQ(stock_.counts().waiting, 2u);
  EXPECT_FALSE(first->Take().has_value());
  // For those who wait, beyond what is kept.
  EXPECT_EQ(link->HandOut(now_).size(), 2u);
  const Left one = Show(tokens[0]);
  EXPECT_EQ(ready_, 1);
  EXPECT_FALSE(second->Take().has_value());
  const auto taken = first->Take();
  ASSERT_TRUE(taken.has_value());
  ExpectJoined(*taken, one);
  EXPECT_FALSE(first->Take().has_value());
  const Left two = Show(tokens[1]);
  EXPECT_EQ(ready_, 2);
  EXPECT_TRUE(second->Take().has_value());
  EXPECT_EQ(stock_.counts().waiting, 0u);
}

TEST_F(StockTest, WhoGivesUpIsInNobodysWay) {
  const auto link = Add();
  const auto tokens = link->HandOut(now_);
  Want().reset();
  const auto second = Want();
  const Left one = Show(tokens[0]);
  EXPECT_EQ(ready_, 1);
  EXPECT_TRUE(second->Take().has_value());
  // One that was given and not taken is closed.
  auto third = Want();
  const Left two = Show(tokens[1]);
  third.reset();
  EXPECT_FALSE(two.kept());
  const Left three = Show(tokens[2]);
  EXPECT_EQ(Spares(), 1u);
}

TEST_F(StockTest, NotTooManyWait) {
  const auto link = Add();
  std::vector<std::unique_ptr<Stock::Wish>> wishes;
  for (std::size_t i = 0; i < Stock::kMostWaiting; ++i) wishes.push_back(Want());
  EXPECT_TRUE(absl::IsResourceExhausted(stock_
                                            .Want(
                                                "south", [] {}, now_)
                                            .status()));
  wishes.pop_back();
  EXPECT_TRUE(stock_
                  .Want(
                      "south", [] {}, now_)
                  .ok());
  // However many wait, twice what the other side keeps is ordered, in messages of their own.
  std::size_t handed_out = 0;
  for (;;) {
    const std::size_t some = link->HandOut(now_).size();
    EXPECT_LE(some, kMaxTokens);
    if (some == 0) break;
    handed_out += some;
  }
  EXPECT_EQ(handed_out, 200u);
}

TEST_F(StockTest, ALinkTakesItsSparesAndTokensWithIt) {
  auto link = Add();
  const auto other = Add("gw-2");
  const auto tokens = link->HandOut(now_);
  const Left spare = Show(tokens[0]);
  const auto others = Fill(*other);
  link.reset();
  EXPECT_FALSE(spare.kept());
  Show(tokens[1], TokenRefusal::kUnknown);
  EXPECT_EQ(Spares(), others.size());
  EXPECT_EQ(Want()->Take()->gateway, "gw-2");
}

// Each has a memory of its own.
TEST_F(StockTest, ABusyLinkMakesNoTokenOfAnotherForgotten) {
  const auto busy = Add("gw-1", Refill::kMost), other = Add("gw-2");
  const auto tokens = other->HandOut(now_);
  for (std::size_t used = 0; used < 10 * Tokens::kMostOver;) {
    for (const Token& token : busy->HandOut(now_)) {
      ++used;
      ASSERT_EQ(stock_.Redeem(token, {}, now_), std::nullopt);
    }
    while (Want("south")->Take()) continue;
  }
  Show(tokens[0]);
  EXPECT_EQ(stock_.View(now_)[1].tokens, tokens.size() - 1);
}

TEST_F(StockTest, ATokenIsOfTheLinkThatItWasHandedOutFor) {
  const auto one = Add("gw-1"), two = Add("gw-2");
  Token mixed = one->HandOut(now_)[0];
  const Token of_two = two->HandOut(now_)[0];
  ASSERT_NE(LinkOf(mixed), LinkOf(of_two));
  std::copy_n(of_two.begin(), sizeof(LinkId), mixed.begin());
  Show(mixed, TokenRefusal::kUnknown);
}

TEST_F(StockTest, AnotherLinkOfTheSameGatewayTakesOver) {
  auto old = Add();
  const auto tokens = old->HandOut(now_);
  const Left spare = Show(tokens[0]);
  EXPECT_EQ(replaced_, 0);
  auto fresh = Add("gw-1", 2);
  EXPECT_EQ(replaced_, 1);
  EXPECT_TRUE(old->HandOut(now_).empty());
  old.reset();
  EXPECT_TRUE(spare.kept());
  const Left another = Show(tokens[1]);
  EXPECT_TRUE(another.kept());
  EXPECT_EQ(stock_.View(now_).size(), 1u);
  EXPECT_EQ(stock_.View(now_)[0].wanted, 2u);
  fresh.reset();
  EXPECT_FALSE(spare.kept());
  EXPECT_TRUE(stock_.View(now_).empty());
}

TEST_F(StockTest, OldOnesAreClosedOnceOthersAreThere) {
  const auto link = Add();
  const auto old = Fill(*link);
  now_ += Stock::kMaxAge - seconds(1);
  EXPECT_TRUE(link->HandOut(now_).empty());
  now_ += seconds(1);
  const auto fresh = Fill(*link);
  EXPECT_EQ(fresh.size(), Refill::kLeast);
  EXPECT_TRUE(old[0].kept());
  EXPECT_EQ(Spares(), 2 * Refill::kLeast);
  now_ += seconds(1);
  (void)link->HandOut(now_);
  for (const Left& spare : old) EXPECT_FALSE(spare.kept());
  for (const Left& spare : fresh) EXPECT_TRUE(spare.kept());
}

TEST_F(StockTest, VeryOldOnesAreClosedWhateverThereIs) {
  const auto link = Add();
  const auto old = Fill(*link);
  now_ += Stock::kMaxAge + Stock::kGrace - seconds(1);
  EXPECT_EQ(link->HandOut(now_).size(), Refill::kLeast);
  EXPECT_TRUE(old[0].kept());
  now_ += seconds(1);
  (void)link->HandOut(now_);
  EXPECT_FALSE(old[0].kept());
}

TEST_F(StockTest, DeadOnesAreReplacedWithoutATunnel) {
  const auto link = Add();
  auto spares = Fill(*link);
  spares[1].peer.Close();
  now_ += seconds(1);
  EXPECT_EQ(link->HandOut(now_).size(), 1u);
  EXPECT_FALSE(spares[1].kept());
  EXPECT_TRUE(spares[0].kept());
}

// For the thread sanitizer: everything at once, from every side.
TEST_F(StockTest, ManyThreads) {
  std::atomic<bool> stop{false};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (const char* gateway : {"gw-1", "gw-2"}) {
    threads.emplace_back([&, gateway] {
      while (!stop) {
        const auto link = Add(gateway);
        for (int i = 0; i < 20; ++i) {
          for (const Token& token : link->HandOut(std::chrono::steady_clock::now())) {
            auto [ours, theirs] = *net::LoopbackPair();
            (void)stock_.Redeem(token, {.socket = std::move(ours)},
                                std::chrono::steady_clock::now());
            if (i % 2 == 0) theirs.Release();  // stays open
          }
        }
      }
    });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (taken < 200) {
        auto wish = stock_.Want(
            "south", [] {}, std::chrono::steady_clock::now());
        if (wish.ok() && (*wish)->Take()) ++taken;
        (void)stock_.counts();
        (void)stock_.View(std::chrono::steady_clock::now());
      }
      stop = true;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(taken, 200);
}

}  // namespace
}  // namespace tombolo::link
