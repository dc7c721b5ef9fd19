// SPDX-License-Identifier: Apache-2.0
#include "net/async_fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"
#include "unit/net/poller_run.h"

namespace tombolo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A connected pair: `ours` is watched, `theirs` is the plain other end.
struct Ends {
  AsyncFd ours;
  Fd theirs;
};

Ends MakeEnds(Poller& poller) {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  return {*AsyncFd::Adopt(poller, Fd(fds[0])), Fd(fds[1])};
}

// Calls a function on every edge.
struct OnEdgeCall : EdgeListener {
  explicit OnEdgeCall(std::function<void()> callback) : call(std::move(callback)) {}
  void OnEdge() override { call(); }
  std::function<void()> call;
};

void Send(const Fd& fd, std::size_t bytes = 1) {
  const std::vector<char> data(bytes, 'x');
  EXPECT_EQ(write(fd.get(), data.data(), bytes), static_cast<ssize_t>(bytes));
}

class AsyncFdTest : public testing::Test {
 protected:
  AsyncFdTest() : poller_(*Poller::Create(io_)) {}

  asio::io_context io_;
  std::unique_ptr<Poller> poller_;
};

Awaitable<void> WaitInto(Awaitable<absl::Status> wait, std::optional<absl::Status>& result) {
  result = co_await std::move(wait);
}

Awaitable<void> WakesOnAnEdge(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(After(seconds(5))), result));
  co_await Sleep(poller, milliseconds(5));
  EXPECT_FALSE(result.has_value());
  Send(ends.theirs);
  co_await tasks.Join();
  EXPECT_TRUE(result->ok()) << *result;
  EXPECT_TRUE(ends.ours.readable());
}

TEST_F(AsyncFdTest, WakesOnAnEdge) { RunToEnd(*poller_, WakesOnAnEdge(*poller_)); }

// What is left unread makes no second edge: that is the caller's to remember.
Awaitable<void> LeftoverBytesMakeNoEdge(Poller& poller) {
  Ends ends = MakeEnds(poller);
  Send(ends.theirs, 100);
  co_await Sleep(poller, milliseconds(5));
  EXPECT_TRUE(ends.ours.readable());
  char byte;
  EXPECT_EQ(read(ends.ours.get(), &byte, 1), 1);
  ends.ours.ClearReadable();
  const absl::Status waited = co_await ends.ours.WaitReadable(After(milliseconds(50)));
  EXPECT_EQ(waited.code(), absl::StatusCode::kDeadlineExceeded);
  Send(ends.theirs);  // a new arrival is an edge, whatever was left
  EXPECT_TRUE((co_await ends.ours.WaitReadable(After(seconds(5)))).ok());
}

TEST_F(AsyncFdTest, LeftoverBytesMakeNoEdge) {
  RunToEnd(*poller_, LeftoverBytesMakeNoEdge(*poller_));
}

Awaitable<void> WritableAgainAfterTheReaderReads(Poller& poller) {
  Ends ends = MakeEnds(poller);
  const std::vector<char> chunk(65536, 'x');
  while (write(ends.ours.get(), chunk.data(), chunk.size()) > 0) {
  }
  EXPECT_EQ(errno, EAGAIN);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearWritable();
  EXPECT_EQ((co_await ends.ours.WaitWritable(After(milliseconds(20)))).code(),
            absl::StatusCode::kDeadlineExceeded);
  std::vector<char> sink(1 << 20);
  while (read(ends.theirs.get(), sink.data(), sink.size()) > 0) {
  }
  EXPECT_TRUE((co_await ends.ours.WaitWritable(After(seconds(5)))).ok());
}

TEST_F(AsyncFdTest, WritableAgainAfterTheReaderReads) {
  RunToEnd(*poller_, WritableAgainAfterTheReaderReads(*poller_));
}

Awaitable<void> CancelEndsOneWaitOnly(Poller& poller) {
  Ends ends = MakeEnds(poller);
  ends.ours.ClearReadable();
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  ends.ours.CancelRead();  // nothing waits: no later wait is cancelled by it
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(), result));
  co_await Sleep(poller, milliseconds(5));
  EXPECT_FALSE(result.has_value());
  ends.ours.CancelRead();
  co_await tasks.Join();
  EXPECT_EQ(result->code(), absl::StatusCode::kCancelled);
  Send(ends.theirs);
  EXPECT_TRUE((co_await ends.ours.WaitReadable(After(seconds(5)))).ok());
}

TEST_F(AsyncFdTest, CancelEndsOneWaitOnly) { RunToEnd(*poller_, CancelEndsOneWaitOnly(*poller_)); }

// A cancel that comes when the deadline has passed, but before the waiter has
// run, must not be kept for the next wait.
Awaitable<void> CancelAtTheDeadline(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(After(milliseconds(10))), result));
  co_await Sleep(poller, milliseconds(1));
  usleep(20'000);  // both this timer and the deadline are due in the same turn
  co_await Sleep(poller, milliseconds(0));
  ends.ours.CancelRead();
  co_await tasks.Join();
  EXPECT_FALSE(result->ok());
  Send(ends.theirs);
  EXPECT_TRUE((co_await ends.ours.WaitReadable(After(seconds(5)))).ok());
}

TEST_F(AsyncFdTest, CancelAtTheDeadlineLeavesNothingBehind) {
  RunToEnd(*poller_, CancelAtTheDeadline(*poller_));
}

// Reads nothing and waits again, as after a part of a record.
Awaitable<void> WaitTwice(AsyncFd& fd, std::optional<absl::Status>& result) {
  absl::Status status = co_await fd.WaitReadable(After(seconds(5)));
  if (status.ok()) {
    fd.ClearReadable();
    status = co_await fd.WaitReadable(After(seconds(5)));
  }
  result = std::move(status);
}

Awaitable<void> CancelOnceWoken(AsyncFd& own, AsyncFd& other) {
  const absl::Status status = co_await own.WaitReadable(After(seconds(5)));
  EXPECT_TRUE(status.ok()) << status;
  other.CancelRead();
}

// Both become readable in one turn; the one that runs first cancels the other.
Awaitable<void> CancelReachesWhoWasJustWoken(Poller& poller) {
  Ends first = MakeEnds(poller);
  Ends second = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  first.ours.ClearReadable();
  second.ours.ClearReadable();
  TaskGroup tasks(poller.io().get_executor());
  std::optional<absl::Status> b;
  tasks.Spawn(WaitTwice(second.ours, b));
  tasks.Spawn(CancelOnceWoken(first.ours, second.ours));
  co_await Sleep(poller, milliseconds(5));
  Send(first.theirs);
  Send(second.theirs);
  co_await tasks.Join();
  EXPECT_TRUE(absl::IsCancelled(*b)) << *b;
}

TEST_F(AsyncFdTest, CancelReachesWhoWasJustWoken) {
  RunToEnd(*poller_, CancelReachesWhoWasJustWoken(*poller_));
}

Awaitable<void> CoroutineCancellationEndsTheWait(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(), result));
  co_await Sleep(poller, milliseconds(5));
  co_await tasks.CancelAndJoin();
  EXPECT_EQ(tasks.size(), 0u);
}

TEST_F(AsyncFdTest, CoroutineCancellationEndsTheWait) {
  RunToEnd(*poller_, CoroutineCancellationEndsTheWait(*poller_));
}

Awaitable<void> CloseWakesEveryWaiter(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> read_result;
  std::optional<absl::Status> hang_up_result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(), read_result));
  tasks.Spawn(WaitInto(ends.ours.WaitHangUp(), hang_up_result));
  co_await Sleep(poller, milliseconds(5));
  ends.ours.Close();
  co_await tasks.Join();
  EXPECT_EQ(read_result->code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(hang_up_result->code(), absl::StatusCode::kCancelled);
  EXPECT_EQ((co_await ends.ours.WaitReadable(After(seconds(5)))).code(),
            absl::StatusCode::kCancelled);
}

TEST_F(AsyncFdTest, CloseWakesEveryWaiter) { RunToEnd(*poller_, CloseWakesEveryWaiter(*poller_)); }

Awaitable<void> HangUpWakesBothDirections(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  EXPECT_FALSE(ends.ours.hung_up());
  ends.theirs.Close();
  EXPECT_TRUE((co_await ends.ours.WaitReadable(After(seconds(5)))).ok());
  EXPECT_TRUE((co_await ends.ours.WaitHangUp(After(seconds(5)))).ok());
  EXPECT_TRUE(ends.ours.hung_up());
}

TEST_F(AsyncFdTest, HangUpWakesBothDirections) {
  RunToEnd(*poller_, HangUpWakesBothDirections(*poller_));
}

Awaitable<void> HalfCloseIsReadableAndNoHangUp(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  shutdown(ends.theirs.get(), SHUT_WR);
  EXPECT_TRUE((co_await ends.ours.WaitReadable(After(seconds(5)))).ok());
  EXPECT_FALSE(ends.ours.hung_up());
  EXPECT_EQ((co_await ends.ours.WaitHangUp(After(milliseconds(20)))).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(AsyncFdTest, HalfCloseIsReadableAndNoHangUp) {
  RunToEnd(*poller_, HalfCloseIsReadableAndNoHangUp(*poller_));
}

Awaitable<void> CallbackMayDestroyItsSocket(Poller& poller) {
  auto ends = std::make_unique<Ends>(MakeEnds(poller));
  auto other = std::make_unique<Ends>(MakeEnds(poller));
  const Fd theirs(dup(ends->theirs.get()));
  const Fd other_theirs(dup(other->theirs.get()));
  co_await Sleep(poller, milliseconds(5));
  int calls = 0;
  // Whichever comes first destroys both: the second event is never delivered.
  OnEdgeCall destroy([&] {
    ++calls;
    ends.reset();
    other.reset();
  });
  ends->ours.SetListener(&destroy);
  other->ours.SetListener(&destroy);
  Send(theirs);
  Send(other_theirs);
  co_await Sleep(poller, milliseconds(20));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(ends, nullptr);
}

TEST_F(AsyncFdTest, CallbackMayDestroyItsSocketAndOthers) {
  RunToEnd(*poller_, CallbackMayDestroyItsSocket(*poller_));
}

Awaitable<void> TheListenerIsToldBesidesAWaiter(Poller& poller) {
  Ends ends = MakeEnds(poller);
  co_await Sleep(poller, milliseconds(5));
  ends.ours.ClearReadable();
  int calls = 0;
  OnEdgeCall count([&] { ++calls; });
  ends.ours.SetListener(&count);
  TaskGroup tasks(co_await asio::this_coro::executor);
  std::optional<absl::Status> result;
  tasks.Spawn(WaitInto(ends.ours.WaitReadable(After(seconds(5))), result));
  co_await Sleep(poller, milliseconds(5));
  Send(ends.theirs);
  co_await tasks.Join();
  EXPECT_TRUE(result->ok()) << *result;
  EXPECT_EQ(calls, 1);
  ends.ours.SetListener(nullptr);
  Send(ends.theirs);
  co_await Sleep(poller, milliseconds(10));
  EXPECT_EQ(calls, 1);
}

TEST_F(AsyncFdTest, TheListenerIsToldBesidesAWaiter) {
  RunToEnd(*poller_, TheListenerIsToldBesidesAWaiter(*poller_));
}

Awaitable<void> ReleasedDescriptorIsNotWatched(Poller& poller) {
  Ends ends = MakeEnds(poller);
  int calls = 0;
  co_await Sleep(poller, milliseconds(5));
  OnEdgeCall count([&] { ++calls; });
  ends.ours.SetListener(&count);
  const Fd released = ends.ours.Release();
  Send(ends.theirs);
  co_await Sleep(poller, milliseconds(10));
  EXPECT_EQ(calls, 0);
  char byte;
  EXPECT_EQ(read(released.get(), &byte, 1), 1);  // still ours to use
}

TEST_F(AsyncFdTest, ReleasedDescriptorIsNotWatched) {
  RunToEnd(*poller_, ReleasedDescriptorIsNotWatched(*poller_));
}

// A listener is watched by several threads through duplicates: closing one must
// not leave its registration, and the pointer in it, behind.
Awaitable<void> ADuplicateDoesNotKeepTheWatchAlive(Poller& poller) {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  const Fd duplicate(dup(fds[0]));
  const Fd theirs(fds[1]);
  {
    const auto watched = AsyncFd::Adopt(poller, Fd(fds[0]), /*exclusive=*/true);
    EXPECT_TRUE(watched.ok()) << watched.status();
    co_await Sleep(poller, milliseconds(5));
  }
  Send(theirs);
  co_await Sleep(poller, milliseconds(10));  // AddressSanitizer would see a use of the freed watch
}

TEST_F(AsyncFdTest, ADuplicateDoesNotKeepTheWatchAlive) {
  RunToEnd(*poller_, ADuplicateDoesNotKeepTheWatchAlive(*poller_));
}

Awaitable<void> MoreEventsThanOneWakeUpTakes(Poller& poller) {
  constexpr int kCount = 700;
  std::vector<Ends> all;
  int calls = 0;
  for (int i = 0; i < kCount && all.size() == static_cast<std::size_t>(i); ++i) {
    all.push_back(MakeEnds(poller));
  }
  co_await Sleep(poller, milliseconds(20));
  OnEdgeCall count([&] { ++calls; });
  for (Ends& ends : all) ends.ours.SetListener(&count);
  for (Ends& ends : all) Send(ends.theirs);
  const MonotonicTime latest = After(seconds(20));
  while (calls < kCount && std::chrono::steady_clock::now() < latest) {
    co_await Sleep(poller, milliseconds(10));
  }
  co_await Sleep(poller, milliseconds(10));
  EXPECT_EQ(calls, kCount);
}

TEST_F(AsyncFdTest, MoreEventsThanOneWakeUpTakes) {
  RunToEnd(*poller_, MoreEventsThanOneWakeUpTakes(*poller_));
}

TEST(AdoptTest, AFileThatCannotBeWatchedIsAnError) {
  asio::io_context io;
  const auto poller = *Poller::Create(io);
  EXPECT_FALSE(AsyncFd::Adopt(*poller, Fd(open("/etc/passwd", O_RDONLY | O_CLOEXEC))).ok());
}

}  // namespace
}  // namespace tombolo::net
