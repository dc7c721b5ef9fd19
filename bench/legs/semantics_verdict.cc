// SPDX-License-Identifier: Apache-2.0
// What the two ends of a proxy see of each other when the kernel sends on what the proxy receives.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "semantics.h"

namespace tombolo::bench {
namespace {

using Answer = absl::StatusOr<std::string>;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kEnough = 512 * kMiB;

// From a source to a sink through a proxy's two sockets.
class Chain {
 public:
  static absl::StatusOr<Chain> Open() {
    ASSIGN_OR_RETURN(auto first, net::LoopbackPair());
    ASSIGN_OR_RETURN(auto second, net::LoopbackPair());
    Chain chain;
    chain.source = std::move(first.first);
    chain.in_ = std::move(first.second);
    chain.out_ = std::move(second.first);
    chain.sink = std::move(second.second);
    SetBlocking(chain.source.get(), true);
    return chain;
  }
  Chain(Chain&&) = default;
  ~Chain() {
    source = Fd();  // ends a process that still moves
    sink = Fd();
    if (mover_.joinable()) mover_.join();
  }

  // `verdict` is null for a process that reads and writes.
  absl::Status Move(Verdict* verdict) {
    if (verdict != nullptr) return verdict->Join(in_.get(), out_.get());
    SetBlocking(in_.get(), true);
    SetBlocking(out_.get(), true);
    mover_ = std::thread([in = std::move(in_), out = std::move(out_)]() mutable { Copy(in, out); });
    return absl::OkStatus();
  }

  Fd source, sink;

 private:
  Chain() = default;

  static void Copy(Fd& in, Fd& out) {
    std::vector<char> buffer(std::size_t{128} << 10);
    for (;;) {
      const ssize_t n = recv(in.get(), buffer.data(), buffer.size(), 0);
      if (n == 0) {
        shutdown(out.get(), SHUT_WR);
        char byte;
        (void)recv(out.get(), &byte, 1, 0);  // until the sink's end
        return;
      }
      if (n < 0 || !SendText(out.get(), std::string(buffer.data(), n)).ok()) break;
    }
    net::ResetOnClose(in.get());
    net::ResetOnClose(out.get());
  }

  Fd in_, out_;
  std::thread mover_;
};

// As a gateway that has looked at a ClientHello before it knows where to send it.
Answer ReceivedBefore(Verdict* verdict, const std::string& after) {
  ASSIGN_OR_RETURN(Chain chain, Chain::Open());
  RETURN_IF_ERROR(SendText(chain.source.get(), "first"));
  usleep(10'000);
  RETURN_IF_ERROR(chain.Move(verdict));
  if (!after.empty()) RETURN_IF_ERROR(SendText(chain.source.get(), after));
  return ReadAll(chain.sink.get());
}
Answer NothingFollows(Verdict* verdict) { return ReceivedBefore(verdict, ""); }
Answer MoreFollows(Verdict* verdict) { return ReceivedBefore(verdict, "SECOND"); }

Answer HalfClose(Verdict* verdict) {
  ASSIGN_OR_RETURN(Chain chain, Chain::Open());
  RETURN_IF_ERROR(chain.Move(verdict));
  RETURN_IF_ERROR(SendText(chain.source.get(), "data"));
  shutdown(chain.source.get(), SHUT_WR);
  return ReadAll(chain.sink.get());
}

Answer Reset(Verdict* verdict) {
  ASSIGN_OR_RETURN(Chain chain, Chain::Open());
  RETURN_IF_ERROR(chain.Move(verdict));
  RETURN_IF_ERROR(SendText(chain.source.get(), "data"));
  if (!Readable(chain.sink.get())) return absl::InternalError("nothing arrived");
  net::ResetOnClose(chain.source.get());
  chain.source = Fd();
  usleep(10'000);
  return ReadAll(chain.sink.get());
}

Answer SinkResets(Verdict* verdict) {
  ASSIGN_OR_RETURN(Chain chain, Chain::Open());
  RETURN_IF_ERROR(chain.Move(verdict));
  net::ResetOnClose(chain.sink.get());
  chain.sink = Fd();
  std::string outcomes;
  for (int i = 0; i < 3; ++i) {
    absl::StrAppend(&outcomes, i == 0 ? "" : ", ",
                    Outcome(send(chain.source.get(), "data", 4, MSG_NOSIGNAL)));
    usleep(20'000);
  }
  return outcomes;
}

Answer NobodyReads(Verdict* verdict) {
  ASSIGN_OR_RETURN(Chain chain, Chain::Open());
  RETURN_IF_ERROR(chain.Move(verdict));
  const std::vector<char> chunk(std::size_t{64} << 10, 'x');
  constexpr timeval kPatience = {.tv_sec = 0, .tv_usec = 300'000};
  setsockopt(chain.source.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  std::size_t sent = 0;
  ssize_t n = 0;
  while (sent < kEnough && n >= 0) {
    n = send(chain.source.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (n > 0) sent += n;
  }
  const char* end = n >= 0 ? "no end to it" : errno == EAGAIN ? "waits" : strerrorname_np(errno);
  std::size_t read = 0;
  std::vector<char> buffer(kMiB);
  while (Readable(chain.sink.get())) {
    const ssize_t got = recv(chain.sink.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) break;
    read += got;
  }
  return absl::StrFormat("%d MiB, then %s; lost: %d B", sent / kMiB, end, sent - read);
}

struct Question {
  const char* text;
  Answer (*ask)(Verdict* verdict);
};
constexpr Question kQuestions[] = {
    {"'first' received, then the proxy begins; the sink reads", NothingFollows},
    {"'first' received, then the proxy begins, then 'SECOND'; the sink reads", MoreFollows},
    {"the source sends and half-closes; the sink reads", HalfClose},
    {"the source sends and resets; the sink reads", Reset},
    {"the sink resets; the source sends three times", SinkResets},
    {"writes of 64 KiB that the sink does not read", NobodyReads}};

}  // namespace

absl::StatusOr<std::vector<Finding>> FindSemantics(Verdict& verdict) {
  std::vector<Finding> findings;
  for (const Question& question : kQuestions) {
    ASSIGN_OR_RETURN(std::string tcp, question.ask(nullptr));
    ASSIGN_OR_RETURN(std::string other, question.ask(&verdict));
    findings.push_back({question.text, std::move(tcp), std::move(other)});
  }
  return findings;
}

}  // namespace tombolo::bench
