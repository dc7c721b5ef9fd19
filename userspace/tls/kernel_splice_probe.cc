// SPDX-License-Identifier: Apache-2.0
#include "tls/kernel_splice_probe.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/time.h"
#include "net/async_fd.h"
#include "net/socket.h"

namespace tombolo::tls {
namespace {

using Step = RecordStream::Step;

constexpr Duration kPatience = std::chrono::seconds(2);
// Enough for several pipes, and more than one read takes.
constexpr std::size_t kBytes = 600'001;

// Bytes that differ from place to place.
std::vector<std::uint8_t> Pattern() {
  std::vector<std::uint8_t> bytes(kBytes);
  std::uint32_t state = 1;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

absl::Status Compare(absl::Span<const std::uint8_t> got, std::size_t at) {
  static const auto* expected = new std::vector<std::uint8_t>(Pattern());
  if (at + got.size() <= kBytes && std::equal(got.begin(), got.end(), expected->begin() + at)) {
    return absl::OkStatus();
  }
  return absl::InternalError("spliced bytes did not arrive as they were sent");
}

// An application that writes everything and ends its stream.
Awaitable<absl::Status> WriteAll(net::AsyncFd& application) {
  const auto bytes = Pattern();
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t put =
        send(application.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (put >= 0) {
      done += static_cast<std::size_t>(put);
      continue;
    }
    if (errno != EAGAIN) co_return ErrnoStatus(errno, "write");
    application.ClearWritable();
    CO_RETURN_IF_ERROR(co_await application.WaitWritable(After(kPatience)));
  }
  shutdown(application.get(), SHUT_WR);
  co_return absl::OkStatus();
}

Awaitable<absl::Status> ReadAll(net::AsyncFd& application) {
  std::vector<std::uint8_t> part(64 * 1024);
  for (std::size_t done = 0; done < kBytes;) {
    const ssize_t got = recv(application.get(), part.data(), part.size(), 0);
    if (got > 0) {
      CO_RETURN_IF_ERROR(
          Compare(absl::MakeConstSpan(part).first(static_cast<std::size_t>(got)), done));
      done += static_cast<std::size_t>(got);
      continue;
    }
    if (got == 0) co_return absl::DataLossError("the stream ended early");
    if (errno != EAGAIN) co_return ErrnoStatus(errno, "read");
    application.ClearReadable();
    CO_RETURN_IF_ERROR(co_await application.WaitReadable(After(kPatience)));
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> ReceiveAll(RecordStream& stream) {
  for (std::size_t done = 0; done < kBytes;) {
    CO_ASSIGN_OR_RETURN(const Record record, co_await stream.Receive(After(kPatience)));
    CO_RETURN_IF_ERROR(Compare(record.payload, done));
    done += record.payload.size();
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> MoveFrom(net::AsyncFd& plain, RecordStream& stream) {
  for (std::uint64_t moved = 0;;) {
    CO_ASSIGN_OR_RETURN(const Step step, stream.SendFrom(plain, moved));
    if (step == Step::kEnd) co_return absl::OkStatus();
    absl::Status waited;
    if (step == Step::kPlainBlocked) waited = co_await plain.WaitReadable(After(kPatience));
    if (step == Step::kPeerBlocked) {
      waited = co_await stream.socket().WaitWritable(After(kPatience));
    }
    CO_RETURN_IF_ERROR(waited);
  }
}

Awaitable<absl::Status> MoveTo(RecordStream& stream, net::AsyncFd& plain) {
  for (std::uint64_t moved = 0; moved < kBytes;) {
    CO_ASSIGN_OR_RETURN(const Step step, stream.ReceiveTo(plain, moved));
    absl::Status waited;
    if (step == Step::kPlainBlocked) waited = co_await plain.WaitWritable(After(kPatience));
    if (step == Step::kPeerBlocked) {
      waited = co_await stream.socket().WaitReadable(After(kPatience));
    }
    CO_RETURN_IF_ERROR(waited);
  }
  co_return absl::OkStatus();
}

// An application's socket and this side's end of it.
struct Application {
  net::AsyncFd end, plain;

  static absl::StatusOr<Application> Connect(net::Poller& poller) {
    Application made;
    ASSIGN_OR_RETURN(auto sockets, net::LoopbackPair());
    ASSIGN_OR_RETURN(made.end, net::AsyncFd::Adopt(poller, std::move(sockets.first)));
    ASSIGN_OR_RETURN(made.plain, net::AsyncFd::Adopt(poller, std::move(sockets.second)));
    return made;
  }
};

absl::Status First(const absl::Status& a, const absl::Status& b, const absl::Status& c) {
  absl::Status status = a;
  status.Update(b);
  status.Update(c);
  return status;
}

}  // namespace

Awaitable<absl::Status> TrySpliceSend(net::Poller& poller, RecordStream& kernel,
                                      RecordStream& user) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the operators' only home
  CO_ASSIGN_OR_RETURN(Application application, Application::Connect(poller));
  auto [written, moved, received] = co_await (
      WriteAll(application.end) && MoveFrom(application.plain, kernel) && ReceiveAll(user));
  co_return First(written, moved, received);
}

Awaitable<absl::Status> TrySpliceReceive(net::Poller& poller, RecordStream& kernel,
                                         RecordStream& user) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the operators' only home
  CO_ASSIGN_OR_RETURN(Application application, Application::Connect(poller));
  const auto bytes = Pattern();
  auto [sent, moved, read] =
      co_await (user.Send(bytes, After(kPatience)) && MoveTo(kernel, application.plain) &&
                ReadAll(application.end));
  co_return First(sent, moved, read);
}

}  // namespace tombolo::tls
