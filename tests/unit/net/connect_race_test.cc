// SPDX-License-Identifier: Apache-2.0
#include "net/connect_race.h"

#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/errno_status.h"
#include "base/task_group.h"
#include "net/socket.h"
#include "unit/net/place.h"
#include "unit/net/poller_run.h"

namespace tombolo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kNever = std::chrono::hours(1);

class ConnectRaceTest : public testing::Test {
 protected:
  ConnectRaceTest() : poller_(*Poller::Create(io_)) {}

  void Begin(ConnectRace& race, std::size_t number, const Place& place,
             Duration patience = kNever) {
    const absl::Status begun =
        race.Begin(number, *TcpSocket(place.address()), place.address(), After(patience));
    EXPECT_TRUE(begun.ok()) << begun;
  }
  static Awaitable<std::optional<ConnectRace::Arrival>> Next(ConnectRace& race,
                                                             MonotonicTime until) {
    auto next = co_await race.Next(until);
    EXPECT_TRUE(next.ok()) << next.status();
    co_return *std::move(next);
  }
  void Run(Awaitable<void> body) { RunToEnd(*poller_, std::move(body)); }

  asio::io_context io_;
  std::unique_ptr<Poller> poller_;
};

TEST_F(ConnectRaceTest, TheFirstThatIsConnected) {
  const auto body = [&]() -> Awaitable<void> {
    Place silent(true), there;
    ConnectRace race(*poller_);
    Begin(race, 7, silent);
    std::optional<ConnectRace::Arrival> arrival = co_await Next(race, After(milliseconds(1)));
    EXPECT_FALSE(arrival) << "nobody has answered";
    Begin(race, 8, there);
    arrival = co_await Next(race, kNoDeadline);
    EXPECT_TRUE(arrival && arrival->status.ok());
    EXPECT_EQ(arrival->runner.number, 8u);
    EXPECT_EQ(*PeerAddress(arrival->runner.socket.get()), there.address());
    std::vector<ConnectRace::Runner> rest = race.TakeRest();
    EXPECT_EQ(rest.size(), 1u);
    EXPECT_EQ(rest[0].number, 7u);
    EXPECT_TRUE(race.empty());
    arrival = co_await Next(race, kNoDeadline);
    EXPECT_FALSE(arrival) << "nothing is left to wait for";
  };
  Run(body());
}

TEST_F(ConnectRaceTest, ARefusalIsAnAnswer) {
  const auto body = [&]() -> Awaitable<void> {
    Place silent(true), closed;
    closed.Refuse();
    ConnectRace race(*poller_);
    Begin(race, 0, silent);
    Begin(race, 1, closed);
    std::optional<ConnectRace::Arrival> arrival = co_await Next(race, kNoDeadline);
    EXPECT_TRUE(arrival.has_value());
    EXPECT_EQ(arrival->runner.number, 1u);
    EXPECT_EQ(ErrnoOf(arrival->status), ECONNREFUSED) << arrival->status;
    EXPECT_FALSE(race.empty());
  };
  Run(body());
}

TEST_F(ConnectRaceTest, WhoDoesNotAnswerHasADeadlineOfItsOwn) {
  const auto body = [&]() -> Awaitable<void> {
    Place silent(true), another(true);
    ConnectRace race(*poller_);
    Begin(race, 0, silent);
    Begin(race, 1, another, milliseconds(20));
    std::optional<ConnectRace::Arrival> arrival = co_await Next(race, kNoDeadline);
    EXPECT_TRUE(arrival.has_value());
    EXPECT_EQ(arrival->runner.number, 1u);
    EXPECT_TRUE(absl::IsDeadlineExceeded(arrival->status)) << arrival->status;
    EXPECT_FALSE(race.empty());
  };
  Run(body());
}

// Whoever takes it for "not yet" would dial another one.
TEST_F(ConnectRaceTest, ACancellationIsSaid) {
  Place silent(true);
  ConnectRace race(*poller_);
  Begin(race, 0, silent);
  absl::Status end;
  const auto wait = [&]() -> Awaitable<void> { end = (co_await race.Next(kNoDeadline)).status(); };
  TaskGroup tasks(io_.get_executor());
  tasks.Spawn(wait());
  const auto body = [&]() -> Awaitable<void> {
    co_await Sleep(*poller_, milliseconds(1));
    co_await tasks.CancelAndJoin();
  };
  Run(body());
  EXPECT_TRUE(absl::IsCancelled(end)) << end;
  EXPECT_FALSE(race.empty());
}

TEST_F(ConnectRaceTest, WhoWasLeftBehindIsStillConnected) {
  const auto body = [&]() -> Awaitable<void> {
    Place there;
    ConnectRace race(*poller_);
    Begin(race, 0, there);
    std::vector<ConnectRace::Runner> rest = race.TakeRest();
    EXPECT_EQ(rest.size(), 1u);
    const absl::Status waited = co_await rest[0].socket.WaitWritable(After(seconds(5)));
    EXPECT_TRUE(waited.ok()) << waited;
    const absl::Status end = EndConnect(rest[0].socket, rest[0].address);
    EXPECT_TRUE(end.ok()) << end;
  };
  Run(body());
}

}  // namespace
}  // namespace tombolo::net
