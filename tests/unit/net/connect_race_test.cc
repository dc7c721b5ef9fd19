// SPDX-License-Identifier: Apache-2.0
#include "net/connect_race.h"

#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/errno_status.h"
#include "net/socket.h"
#include "unit/net/poller_run.h"

namespace tombolo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kNever = std::chrono::hours(1);

// Somebody on 127.0.0.1: who answers, or is silent, as a way through which no packet gets.
class Place {
 public:
  explicit Place(bool silent = false)
      : listener_(*Listen(*SocketAddress::Parse("127.0.0.1:0"), silent ? 0 : 16)),
        address_(*LocalAddress(listener_.get())) {
    // Linux drops SYNs while the accept queue is full.
    for (int i = 0; silent && i < 4; ++i) {
      sockaddr_storage storage;
      const socklen_t size = address_.ToSockaddr(storage);
      fill_.push_back(*TcpSocket(address_));
      (void)connect(fill_.back().get(), reinterpret_cast<sockaddr*>(&storage), size);
    }
  }
  const SocketAddress& address() const { return address_; }
  void Close() { listener_.Close(); }

 private:
  Fd listener_;
  SocketAddress address_;
  std::vector<Fd> fill_;
};

class ConnectRaceTest : public testing::Test {
 protected:
  ConnectRaceTest() : poller_(*Poller::Create(io_)) {}

  void Begin(ConnectRace& race, std::size_t number, const Place& place,
             Duration patience = kNever) {
    const absl::Status begun =
        race.Begin(number, *TcpSocket(place.address()), place.address(), After(patience));
    EXPECT_TRUE(begun.ok()) << begun;
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
    std::optional<ConnectRace::Arrival> arrival = co_await race.Next(After(milliseconds(1)));
    EXPECT_FALSE(arrival) << "nobody has answered";
    Begin(race, 8, there);
    arrival = co_await race.Next(kNoDeadline);
    EXPECT_TRUE(arrival && arrival->status.ok());
    EXPECT_EQ(arrival->runner.number, 8u);
    EXPECT_EQ(*PeerAddress(arrival->runner.socket.get()), there.address());
    std::vector<ConnectRace::Runner> rest = race.TakeRest();
    EXPECT_EQ(rest.size(), 1u);
    EXPECT_EQ(rest[0].number, 7u);
    EXPECT_TRUE(race.empty());
    arrival = co_await race.Next(kNoDeadline);
    EXPECT_FALSE(arrival) << "nothing is left to wait for";
  };
  Run(body());
}

TEST_F(ConnectRaceTest, ARefusalIsAnAnswer) {
  const auto body = [&]() -> Awaitable<void> {
    Place silent(true), closed;
    closed.Close();
    ConnectRace race(*poller_);
    Begin(race, 0, silent);
    Begin(race, 1, closed);
    std::optional<ConnectRace::Arrival> arrival = co_await race.Next(kNoDeadline);
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
    std::optional<ConnectRace::Arrival> arrival = co_await race.Next(kNoDeadline);
    EXPECT_TRUE(arrival.has_value());
    EXPECT_EQ(arrival->runner.number, 1u);
    EXPECT_TRUE(absl::IsDeadlineExceeded(arrival->status)) << arrival->status;
    EXPECT_FALSE(race.empty());
  };
  Run(body());
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
