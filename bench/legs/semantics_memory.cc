// SPDX-License-Identifier: Apache-2.0
// What happens when the application is faster than its agent.
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "semantics.h"

namespace tombolo::bench {
namespace {

using Answer = absl::StatusOr<std::string>;

constexpr std::size_t kMiB = std::size_t{1} << 20;
// Above the largest tcp_mem that a guest of 2 GiB has; a third of what 24 GiB have.
constexpr std::size_t kEnough = 768 * kMiB;
constexpr int kSmallWrites = 200'000;
constexpr double kSlow = 0.1;  // Gbit/s: in a guest half of one is usual

std::string MiB(double bytes) {
  return absl::StrFormat("%.1f MiB", bytes / static_cast<double>(kMiB));
}

// The number behind `word` in a line of /proc that begins with `line`.
double ProcNumber(const char* path, const std::string& line, const std::string& word) {
  std::ifstream file(path);
  for (std::string text; file >> text;) {
    if (text != line) {
      std::getline(file, text);
      continue;
    }
    while (file >> text) {
      if (text == word || word.empty()) {
        if (!word.empty()) file >> text;
        break;
      }
    }
    double value = 0;
    return absl::SimpleAtod(text, &value) ? value : 0;
  }
  return 0;
}

// What TCP counts against tcp_mem, of all namespaces.
double TcpMemory() {
  return ProcNumber("/proc/net/sockstat", "TCP:", "mem") *
         static_cast<double>(sysconf(_SC_PAGESIZE));
}

// What the kernel has in objects of its own.
double SlabMemory() { return ProcNumber("/proc/meminfo", "SUnreclaim:", "") * 1024; }

struct Filled {
  std::size_t bytes = 0;
  int error = 0;  // of the write that ended it; 0: none, it was enough
  double tcp_memory = 0;
};

// Writes until nobody takes more; nobody reads.
Filled Fill(int fd, int flags) {
  Filled filled;
  const double before = TcpMemory();
  const std::vector<char> chunk(std::size_t{64} << 10, 'x');
  while (filled.bytes < kEnough) {
    const ssize_t n = send(fd, chunk.data(), chunk.size(), flags | MSG_NOSIGNAL);
    if (n < 0) {
      filled.error = errno;
      break;
    }
    filled.bytes += n;
  }
  filled.tcp_memory = TcpMemory() - before;
  return filled;
}

std::size_t Drain(int fd) {
  std::vector<char> buffer(kMiB);
  std::size_t bytes = 0;
  while (Readable(fd)) {
    const ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n <= 0) break;
    bytes += n;
  }
  return bytes;
}

std::string Describe(const Filled& filled) {
  return absl::StrCat(MiB(static_cast<double>(filled.bytes)), ", then ",
                      filled.error == 0 ? "no end to it" : strerrorname_np(filled.error),
                      "; TCP's memory grew by ", MiB(filled.tcp_memory));
}

Answer SlowAgent(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  const Filled filled = Fill(leg.application.get(), MSG_DONTWAIT);
  pollfd room{.fd = leg.application.get(), .events = POLLOUT, .revents = 0};
  const bool writable = poll(&room, 1, 0) > 0;
  const std::size_t read = Drain(leg.agent.get());
  return absl::StrCat(Describe(filled), "; poll: ", writable ? "writable" : "not writable",
                      "; lost: ", filled.bytes - read, " B");
}

// An application that waits for room, as most do.
Answer SlowAgentBlocks(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  constexpr timeval kPatience = {.tv_sec = 0, .tv_usec = 300'000};
  setsockopt(leg.application.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  const Filled filled = Fill(leg.application.get(), 0);
  Drain(leg.agent.get());
  return filled.error == EAGAIN ? "waits" : Describe(filled);
}

// With a limit in the program, what it does not redirect waits in TCP's buffers.
Answer SlowAgentBounded(Redirect* redirect) {
  if (redirect == nullptr) return SlowAgentBlocks(nullptr);
  ASSIGN_OR_RETURN(const auto bounded, Redirect::Load(kQueueLimit));
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(bounded.get()));
  const Filled filled = Fill(leg.application.get(), MSG_DONTWAIT);
  const std::size_t read = Drain(leg.agent.get());
  return absl::StrCat(Describe(filled), "; lost: ", filled.bytes - read, " B");
}

// Somebody else's connection while the queue is full.
Answer Neighbour(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  Fill(leg.application.get(), MSG_DONTWAIT);
  ASSIGN_OR_RETURN(const Leg other, OpenLeg(nullptr));
  SetBlocking(other.application.get(), false);
  const auto start = std::chrono::steady_clock::now();
  std::vector<char> chunk(std::size_t{64} << 10, 'y');
  std::size_t sent = 0;
  std::size_t got = 0;
  while (got < 16 * kMiB && std::chrono::steady_clock::now() - start < std::chrono::seconds(2)) {
    ssize_t n = send(other.application.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (n > 0) sent += n;
    if (got == sent && n < 0 && errno != EAGAIN) return std::string(strerrorname_np(errno));
    n = recv(other.agent.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got += n;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  Drain(leg.agent.get());
  const double rate = static_cast<double>(got) / took.count() * 8e-9;
  return rate < kSlow ? absl::StrFormat("%.3f Gbit/s", rate) : "goes on";
}

// What a queued write costs beyond its bytes.
Answer SmallWrites(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  const double slab = SlabMemory();
  const double tcp = TcpMemory();
  int written = 0;
  while (written < kSmallWrites && send(leg.application.get(), "x", 1, MSG_DONTWAIT) == 1) {
    ++written;
  }
  const double slab_grew = SlabMemory() - slab;
  const double tcp_grew = TcpMemory() - tcp;
  Drain(leg.agent.get());
  return absl::StrCat(written, " accepted; kernel objects grew by ", MiB(slab_grew),
                      ", TCP's memory by ", MiB(tcp_grew));
}

}  // namespace

std::vector<Experiment> MemoryExperiments() {
  return {{"writes of 64 KiB that nobody reads, not waiting", SlowAgent},
          {"the same, waiting for room", SlowAgentBlocks},
          {"the same with a limit of 1 MiB in the program", SlowAgentBounded},
          {"another connection (TCP) meanwhile", Neighbour},
          {"200000 writes of 1 B that nobody reads", SmallWrites}};
}

}  // namespace tombolo::bench
