// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "store/store.h"

namespace tombolo::ca {

inline constexpr char kAcks[] = "ack/";

// "<cluster>/<node>" -> the sequence of the trust bundle that this node's agent holds. Blocks.
absl::StatusOr<std::map<std::string, std::int64_t>> ReadAcks(Store& store);

// Forgets a node that is gone for good: no rotation waits for what it held. If it is not gone, its
// agent's next requests bring it back. NotFound. Blocks.
absl::Status ForgetAck(Store& store, const std::string& node);

// Remembers which trust bundle each agent holds, beside the ledger: keys ack/<cluster>/<node>. A
// thread of its own writes what has changed, in batches, once an interval. Nothing here is worth an
// audit entry, or a request's delay; what a crash loses comes again with the agent's next request.
// Destroying it writes what waits, once.
//
// What an agent has said last counts, also when it is less than before: it has lost what it had, or
// the store was restored from an older copy. Two replicas that it has asked within one interval may
// write in the wrong order; what is known here is forgotten from time to time, so that the agent's
// next request mends that.
class Acks {
 public:
  struct Options {
    Duration interval = std::chrono::seconds(1);
    std::size_t agents = 100'000;  // that are remembered; of others nothing is written
    Duration forget = std::chrono::minutes(5);
  };
  Acks(std::shared_ptr<Store> store, Options options);
  ~Acks();

  // A node's agent says that it holds the bundle `sequence`, which is published. Any thread.
  // Anybody else's ID is left alone.
  void Note(const SpiffeId& node, std::int64_t sequence);

 private:
  void Work();
  absl::Status Flush();
  absl::Status Write(const std::map<std::string, std::int64_t>& wanted);

  const std::shared_ptr<Store> store_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable stop_;
  // All guarded by mutex_.
  absl::flat_hash_map<std::string, std::int64_t> written_;  // as far as is known
  MonotonicTime forget_at_;
  std::map<std::string, std::int64_t> waiting_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tombolo::ca
