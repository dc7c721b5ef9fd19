// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <vector>

#include "base/spiffe_id.h"
#include "base/time.h"
#include "identity/record.h"
#include "identity/store.h"

namespace tombolo::identity {

// The identities of one node's workloads, and whose turn it is. No clock and no network: times are
// given, so that tests can give theirs.
class Roster {
 public:
  // Those that are new are due at once, those that are gone are forgotten with their keys.
  void Set(const std::set<SpiffeId>& ids, WallTime now);

  // Up to `most` that are due and not being asked for: those without an SVID first, then by the
  // end of what they have.
  std::vector<SpiffeId> Due(WallTime now, std::size_t most) const;
  // When the next one is due; WallTime::max() when none will be.
  WallTime NextDue() const;

  // Null when it is not of this node any longer.
  Record* Find(const SpiffeId& id);
  // One that was not judged by `trust` yet; null when all were.
  const SpiffeId* FindOtherThan(const TrustPtr& trust) const;
  const std::map<SpiffeId, Record>& records() const { return records_; }
  std::map<SpiffeId, Record>& records() { return records_; }

 private:
  std::map<SpiffeId, Record> records_;
};

// What connections use.
StorePtr MakeStore(const std::map<SpiffeId, Record>& records, const TrustPtr& trust);

}  // namespace tombolo::identity
