// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tombolo::bench {

// A limit for Redirect::Load: less than what TCP's own buffers hold at most.
inline constexpr std::size_t kQueueLimit = std::size_t{1} << 20;

// The sk_msg program and its maps. What a socket that was added with AddApplication sends, the
// agent's socket that was added for the same connection receives: not through TCP, and without a
// softirq. Thread-safe. Destroying it gives all sockets back to TCP.
class Redirect {
 public:
  // At most `limit` bytes and one write wait in an agent's socket; what follows goes by TCP until
  // the agent has said that it has read everything. 0: there is no limit, and nobody counts.
  // Needs CAP_BPF and CAP_NET_ADMIN.
  static absl::StatusOr<std::unique_ptr<Redirect>> Load(std::size_t limit);
  virtual ~Redirect() = default;

  virtual absl::Status AddApplication(int application) = 0;
  virtual absl::Status AddAgent(int agent) = 0;
  virtual absl::Status RemoveApplication(int application) = 0;
  virtual absl::Status RemoveAgent(int agent) = 0;
  // Where the agent says how many bytes of this connection it has read; null without a limit.
  // Shared with the programs, and with processes that fork.
  virtual absl::StatusOr<volatile std::uint64_t*> ReadCounter(int agent) = 0;
};

}  // namespace tombolo::bench
