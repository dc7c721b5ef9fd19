// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/spiffe_id.h"
#include "net/address.h"
#include "server/counters.h"
#include "server/limits.h"

namespace tombolo::ca::https {

// Shares the connections out: so many in all, of those so many to whoever has shown no SVID, and so
// many to one holder, which is an address until an SVID says who it is. Any thread. Outlives its
// slots.
class Admission {
 public:
  // Counts what it refuses in `counters`, which outlives it.
  Admission(const ServerLimits& limits, ServerCounters& counters)
      : limits_(limits), counters_(counters) {}

  // A connection's place. Free again when it is destroyed. One thread at a time.
  class Slot {
   public:
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    // The handshake is over, and one of the two is told. False, and nothing is changed, when there
    // are too many of the kind: from now on it is the identity's and not the address's; or it
    // remains without an identity.
    bool Identify(const SpiffeId& id);
    bool StayNameless();

   private:
    friend class Admission;
    Slot(Admission& admission, std::string holder)
        : admission_(admission), holder_(std::move(holder)) {}

    Admission& admission_;
    std::string holder_;
    bool stranger_ = true;   // counts among strangers_
    bool nameless_ = false;  // counts among nameless_
  };

  // Null: refused.
  std::unique_ptr<Slot> Admit(const net::IpAddress& address);

 private:
  // All under mutex_.
  bool Take(const std::string& holder, int limit);
  void Release(const std::string& holder);

  const ServerLimits& limits_;
  ServerCounters& counters_;
  std::mutex mutex_;
  // All guarded by mutex_.
  absl::flat_hash_map<std::string, int> held_;
  int strangers_ = 0;  // without an SVID, or not that far yet
  int nameless_ = 0;   // of those: whose handshake is over
};

}  // namespace tombolo::ca::https
