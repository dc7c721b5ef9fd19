// SPDX-License-Identifier: Apache-2.0
#include "gateway/mover.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "net/socket.h"

namespace tombolo::gateway {
namespace {

// Between two sockets that are never empty or full there is always something to move: after so
// many steps the thread's others have their turn.
constexpr unsigned kStepsPerTurn = 16;
// A read that fills so much means that more comes: the next goes through a pipe, which costs more
// than a copy of little and less than one of much.
constexpr std::size_t kCopy = 16 * 1024;
// Into a pipe at a time. What it has room for are fragments, of 32 KiB each at most: how many is
// the pool's to decide.
constexpr std::size_t kSplice = 512 * 1024;

}  // namespace

Mover::Mover(net::AsyncFd client, net::AsyncFd node, net::BufferPool& pool, Totals& all)
    : client_(std::move(client)),
      node_(std::move(node)),
      pool_(pool),
      up_{client_, node_, "the client", "the node", counts_.to_node, all.to_node},
      down_{node_, client_, "the node", "the client", counts_.from_node, all.from_node},
      next_turn_(client_.poller(), [this] { Turn(); }) {}

void Mover::Start(std::function<void(absl::Status)> on_end) {
  on_end_ = std::move(on_end);
  client_.SetListener(this);
  node_.SetListener(this);
  client_.MarkReadable();  // the ClientHello has only been looked at
  Pump();
}

void Mover::Stop(absl::Status why) { Fail(std::move(why)); }

void Mover::Fail(absl::Status why) {
  if (over()) return;
  failure_ = std::move(why);
  client_.Close();
  node_.Close();
  up_.pipe.Reset();
  down_.pipe.Reset();
  FinishSoon();
}

// Whoever is told may destroy this object, which is still at work.
void Mover::FinishSoon() {
  if (on_end_ != nullptr) next_turn_.ExpireAt(std::chrono::steady_clock::now());
}

void Mover::Turn() { over() ? Finish() : Pump(); }

void Mover::Finish() {
  if (on_end_ == nullptr) return;
  client_.Close();
  node_.Close();
  const auto on_end = std::exchange(on_end_, nullptr);
  on_end(failure_);
}

// Moves until both directions have to wait.
void Mover::Pump() {
  if (over()) return;
  CheckReset(client_, "the client");
  CheckReset(node_, "the node");
  for (unsigned steps = 0; !over(); ++steps) {
    if (steps == kStepsPerTurn) return next_turn_.ExpireAt(std::chrono::steady_clock::now());
    const bool up = Step(up_);
    const bool down = Step(down_);
    if (!up && !down) break;
  }
  if (over() || !up_.ended || !down_.ended) return;
  // What the kernel still has to send it sends, also without this process.
  net::CloseInOrder(client_.get());
  net::CloseInOrder(node_.get());
  done_ = true;
  FinishSoon();
}

// A reset must be seen also where nobody reads: behind the end of a stream, or while what was read
// before cannot be written.
void Mover::CheckReset(const net::AsyncFd& socket, const char* name) {
  if (over() || !socket.failed()) return;
  if (const int error = net::TakeError(socket.get()); error != 0) Fail(ErrnoStatus(error, name));
}

// True: something has moved, and there may be more.
bool Mover::Step(Direction& direction) {
  if (over() || direction.ended || !direction.to.writable()) return false;
  if (direction.holds()) return Write(direction);
  if (!direction.from.readable()) return false;
  if (direction.bulk) {
    direction.pipe = pool_.pipes().Take();
    if (direction.pipe.held()) return Splice(direction);
  }
  return Copy(direction);
}

// What is held already.
bool Mover::Write(Direction& direction) {
  if (!direction.rest.empty()) {
    const std::vector<std::uint8_t> rest = std::exchange(direction.rest, {});
    return SendOrKeep(direction, rest.data(), rest.size());
  }
  while (direction.pipe.bytes() > 0) {
    const ssize_t sent = direction.pipe.DrainTo(direction.to.get());
    if (sent > 0) continue;
    if (sent < 0 && errno == EAGAIN) {
      direction.to.ClearWritable();
    } else {
      Fail(ErrnoStatus(sent == 0 ? EPIPE : errno, direction.to_name));
    }
    return false;
  }
  direction.pipe.Reset();
  return true;
}

bool Mover::Splice(Direction& direction) {
  const ssize_t got = direction.pipe.FillFrom(direction.from.get(), kSplice);
  const int error = errno;
  if (got <= 0) direction.pipe.Reset();
  direction.bulk = got >= static_cast<ssize_t>(kCopy);
  return TakeRead(direction, got, error) && Write(direction);
}

bool Mover::Copy(Direction& direction) {
  net::BufferPool::Lease buffer = pool_.Take();
  ssize_t got;
  do {
    got = recv(direction.from.get(), buffer.span().data(), kCopy, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  const int error = errno;
  direction.bulk = got == static_cast<ssize_t>(kCopy);
  if (!direction.bulk && got > 0) direction.from.ClearReadableAfterShortRead();
  return TakeRead(direction, got, error) &&
         SendOrKeep(direction, buffer.span().data(), static_cast<std::size_t>(got));
}

void Mover::NoteAnswer(const Direction& direction) {
  if (&direction != &up_ || counts_.from_node == 0) return;
  std::exchange(on_answered_, nullptr)();
}

// What a read has returned. True: bytes, which are to be written.
bool Mover::TakeRead(Direction& direction, ssize_t got, int error) {
  if (got > 0) {
    direction.own += static_cast<std::uint64_t>(got);
    direction.all.fetch_add(static_cast<std::uint64_t>(got), std::memory_order_relaxed);
    if (on_answered_ != nullptr) NoteAnswer(direction);
    return true;
  }
  if (got < 0 && error == EAGAIN) {
    direction.from.ClearReadable();
  } else if (got < 0) {
    Fail(ErrnoStatus(error, direction.from_name));
  } else {
    direction.ended = true;
    // When both have ended, closing says so. Of a socket that is reset already the next look at it
    // says so.
    if (!up_.ended || !down_.ended) (void)shutdown(direction.to.get(), SHUT_WR);
  }
  return false;
}

bool Mover::SendOrKeep(Direction& direction, const std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = send(direction.to.get(), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes += sent;
      size -= static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      direction.to.ClearWritable();
      direction.rest.assign(bytes, bytes + size);
      return false;
    } else if (errno != EINTR) {
      Fail(ErrnoStatus(errno, direction.to_name));
      return false;
    }
  }
  return true;
}

}  // namespace tombolo::gateway
