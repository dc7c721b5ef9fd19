// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tombolo::bench {

// How bytes get from the application to its agent.
enum class Way {
  kSplice,    // TCP, by reference into a pipe and out of it
  kCopy,      // TCP, one large recv and one send
  kRedirect,  // sk_msg, the same recv and send
  kBounded,   // the same with a limit for what waits in the agent's socket
  kVerdict,   // TCP; an SK_SKB verdict sends it on, and the agent has only ends to pass on
};
constexpr Way kWays[] = {Way::kSplice, Way::kCopy, Way::kRedirect, Way::kBounded, Way::kVerdict};
absl::string_view NameOf(Way way);

// What the agent does with what it gets.
enum class Onward {
  kAnswer,   // sends it back: the application waits for it
  kNext,     // sends it to a third process, which discards it uncopied
  kDiscard,  // nothing: the leg by itself
};
absl::string_view NameOf(Onward onward);

struct Load {
  Onward onward = Onward::kAnswer;
  std::size_t size = 64;  // of a write
  int connections = 1;    // a thread of the application each
  bool delay = false;     // without TCP_NODELAY
  std::chrono::nanoseconds duration{};

  // A verdict can send on only.
  bool has(Way way) const { return way != Way::kVerdict || onward == Onward::kNext; }
  bool requests() const { return onward == Onward::kAnswer; }
  std::string ToString() const;
};

std::vector<Load> AllLoads();

// What one process did and took, from the start of the load to its end.
struct Usage {
  std::uint64_t bytes = 0;
  std::uint64_t operations = 0;  // the application's: answers
  std::uint64_t cpu_ns = 0;
  std::uint64_t switches = 0;  // voluntary and not
  std::uint64_t elapsed_ns = 0;
  std::uint64_t p50_ns = 0;
  std::uint64_t p99_ns = 0;
};

}  // namespace tombolo::bench
