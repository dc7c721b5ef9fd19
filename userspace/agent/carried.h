// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "agent/connection_table.h"
#include "agent/context.h"
#include "net/async_fd.h"
#include "relay/relay.h"

namespace tombolo::agent {

// A connection from the end of its opening to its own end. No coroutine waits for it: it
// is what its relay calls when it has ended, and owns itself until then. While it lives
// it is in its thread's table with a relay, by which others find and Stop() it.
class Carried {
 public:
  virtual ~Carried() = default;
  Carried(const Carried&) = delete;
  Carried& operator=(const Carried&) = delete;

  // Begins to relay.
  static void Start(std::unique_ptr<Carried> self);
  const Connection& connection() const { return *entry_; }
  // As relay::Relay.
  void Stop(absl::Status why, tunnel::proto::Code code) { relay_.Stop(std::move(why), code); }

 protected:
  // `tunnel` outlives it. `early`: bytes that have gone into the tunnel before.
  Carried(Context& context, ConnectionTable::Entry entry, net::AsyncFd plain,
          tunnel::Tunnel& tunnel, std::uint64_t early);

  // What becomes of the tunnel. Counted and logged it has been; this is destroyed next.
  virtual void OnEnd(relay::Relay::End end) = 0;
  const relay::Relay::Counters& moved() const { return relay_.counters(); }

  Context& context_;

 private:
  void Report(const absl::Status& status) const;

  ConnectionTable::Entry entry_;
  relay::Relay relay_;
};

}  // namespace tombolo::agent
