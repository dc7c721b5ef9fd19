// SPDX-License-Identifier: Apache-2.0
// How streams end while the socket is full: whatever was sent arrives, to the last byte,
// and then close_notify and the end of TCP. With kernel TLS the last records are then
// sealed and accepted but not yet TCP's, and a plain shutdown() would drop them.
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "stream_pair.h"

namespace tombolo::tls {
namespace {

using testing::Bytes;
using testing::BytesOf;
using testing::Loop;
using testing::Pattern;
using testing::SendFrom;
using testing::StreamAndPeer;
using testing::TcpPair;

constexpr std::size_t kMost = 128 * 1024;
constexpr std::size_t kTail = 64 * 1024;
// Two records fit into the sender's socket and about one into the receiver's, so that the
// rest waits. (The kernel doubles both.)
constexpr int kSendBuffer = 4 * 1024;
constexpr int kReceiveBuffer = 8 * 1024;
constexpr std::size_t kAtOnce = 128;

MonotonicTime Soon() { return After(std::chrono::seconds(50)); }

const Bytes& Data() {
  static const auto* data = new Bytes(Pattern(kMost + 1));
  return *data;
}

int Failures() {
  const auto* result = ::testing::UnitTest::GetInstance()->current_test_info()->result();
  return result->total_part_count();
}

// A connection whose second end never offers more than a small window, so that the first
// fills its socket in small segments, and records are cut in the middle by a full one.
std::pair<Fd, Fd> NarrowPair() {
  Fd listener = *net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"), 1);
  setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(kReceiveBuffer));
  const net::SocketAddress address = *net::LocalAddress(listener.get());
  Fd near = *net::TcpSocket(address);
  setsockopt(near.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(storage);
  (void)connect(near.get(), reinterpret_cast<sockaddr*>(&storage), size);
  testing::AwaitReadable(listener.get());
  Fd far(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  net::SetNoDelay(near.get());
  return {std::move(near), std::move(far)};
}

// One way to send `data` and to end.
using Sender = Awaitable<absl::Status> (*)(Loop& loop, RecordStream& stream,
                                           absl::Span<const std::uint8_t> data);

Awaitable<absl::Status> SendWhole(Loop&, RecordStream& stream,
                                  absl::Span<const std::uint8_t> data) {
  const absl::Status sent = co_await stream.Send(data, Soon());
  co_await stream.CloseNotify(Soon());
  co_return sent;
}

// As a tunnel ends: END is behind the data.
Awaitable<absl::Status> SendWithControl(Loop&, RecordStream& stream,
                                        absl::Span<const std::uint8_t> data) {
  absl::Status sent = co_await stream.Send(data, Soon());
  if (sent.ok()) sent = co_await stream.SendControl(BytesOf("END"), Soon());
  co_await stream.CloseNotify(Soon());
  co_return sent;
}

// From an application that writes all of it and ends.
Awaitable<absl::Status> SendFromApplication(Loop& loop, RecordStream& stream,
                                            absl::Span<const std::uint8_t> data) {
  auto [application, plain] = TcpPair();
  net::AsyncFd from = loop.Adopt(std::move(plain));
  std::size_t written = 0;
  absl::Status status;
  for (bool ended = false; status.ok() && !ended;) {
    while (written < data.size()) {
      const ssize_t put = send(application.get(), data.data() + written, data.size() - written,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put <= 0) break;
      written += static_cast<std::size_t>(put);
    }
    if (written == data.size()) shutdown(application.get(), SHUT_WR);
    const absl::StatusOr<std::size_t> moved = co_await SendFrom(stream, from);
    status = moved.status();
    ended = moved.ok() && *moved == 0;
  }
  co_await stream.CloseNotify(Soon());
  co_return status;
}

// A stream that sends `size` bytes and ends, and a peer that reads slowly.
class Ending {
 public:
  Ending(Loop& loop, Sender send, std::size_t size, std::size_t number)
      : size_(size),
        controls_(send == &SendWithControl ? 1 : 0),
        chunk_(kChunks[number % std::size(kChunks)]),
        pause_(number / std::size(kChunks) % 3 * 8) {
    pair_ = std::make_unique<StreamAndPeer>(loop, /*sent=*/0, NarrowPair());
    done_ = loop.Start(send(loop, pair_->stream(), absl::MakeSpan(Data()).first(size)));
  }

  // One turn of the peer; true when both sides have come to their end.
  bool Turn() {
    if (pause_ > 0) {
      --pause_;  // meanwhile the sockets fill
    } else if (!ended_) {
      ended_ = !pair_->PeerReadsPart(chunk_, records_);
    }
    return ended_ && done_->has_value();
  }

  void Check() const {
    SCOPED_TRACE(absl::StrCat(size_, " bytes, read ", chunk_, " at a time"));
    ASSERT_TRUE(ended_ && done_->has_value()) << "no end";
    EXPECT_TRUE((**done_).ok()) << **done_;
    std::string data;
    bool close_notify = false;
    for (const auto& [type, payload] : records_) {
      if (type == kApplicationData) data += payload;
      // A second one may push the first.
      if (type == kAlert) close_notify = payload == absl::string_view("\1\0", 2);
      EXPECT_FALSE(close_notify && type != kAlert) << "a record after close_notify";
    }
    EXPECT_EQ(data.size(), size_) << "the tail is lost";
    EXPECT_TRUE(std::equal(data.begin(), data.end(), Data().begin(), [](char a, std::uint8_t b) {
      return static_cast<std::uint8_t>(a) == b;
    }));
    EXPECT_EQ(std::ranges::count(records_, kControl, &Records::value_type::first), controls_);
    EXPECT_TRUE(close_notify) << "a truncation to the peer";
  }

 private:
  using Records = StreamAndPeer::Records;
  static constexpr std::size_t kChunks[] = {4096, 1777, 16384, 9000};

  std::size_t size_;
  int controls_;
  std::size_t chunk_;
  std::size_t pause_;
  std::unique_ptr<StreamAndPeer> pair_;
  std::shared_ptr<std::optional<absl::Status>> done_;
  Records records_;
  bool ended_ = false;
};

struct Case {
  Sender send;
  std::size_t size;
};

void EndWithEach(const std::vector<Case>& cases) {
  for (std::size_t first = 0; first < cases.size(); first += kAtOnce) {
    Loop loop;
    std::vector<std::unique_ptr<Ending>> endings;
    for (std::size_t i = first; i < std::min(first + kAtOnce, cases.size()); ++i) {
      endings.push_back(std::make_unique<Ending>(loop, cases[i].send, cases[i].size, i));
    }
    loop.RunUntil([&] {
      // Each has its turn, whatever the others say.
      return std::ranges::count_if(endings, [](auto& ending) { return ending->Turn(); }) ==
             std::ssize(endings);
    });
    int failed = 0;
    for (const auto& ending : endings) {
      const int before = Failures();
      ending->Check();
      if (Failures() > before && ++failed == 3) return;  // enough to know
    }
  }
}

constexpr Sender kSenders[] = {SendWhole, SendWithControl, SendFromApplication};

TEST(RecordShutdownTest, AtEveryRecordEdge) {
  std::vector<Case> cases;
  for (Sender send : kSenders) {
    for (std::size_t edge = kMost - kTail; edge <= kMost; edge += kMaxPlaintext) {
      for (const std::size_t size : {edge - 1, edge, edge + 1}) cases.push_back({send, size});
    }
  }
  EndWithEach(cases);
}

TEST(RecordShutdownTest, AnywhereInTheTail) {
  std::mt19937 random(1);
  std::uniform_int_distribution<std::size_t> size(kMost - kTail, kMost);
  std::vector<Case> cases;
  for (std::size_t i = 0; i < 500; ++i) cases.push_back({kSenders[i % 3], size(random)});
  EndWithEach(cases);
}

}  // namespace
}  // namespace tombolo::tls
