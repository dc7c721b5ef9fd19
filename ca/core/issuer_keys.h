// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "core/discovery.h"
#include "core/grant.h"

namespace tombolo::ca {

// The keys of the clusters that say themselves which they are: asked for again and again, and at
// once when a token does not hold by those that are known. What was read last counts until it is
// read again, but for `max_age` at most; afterwards, and until it is read for the first time, the
// cluster's tokens are not good for anything. Threads of its own ask. Any thread may call;
// destroying it waits for questions that are under way, `patience` at most.
class IssuerKeys {
 public:
  struct Options {
    Duration refresh = std::chrono::minutes(5);
    Duration retry = std::chrono::seconds(30);    // when asking has failed
    Duration doubted = std::chrono::seconds(10);  // between questions for the sake of a token
    Duration patience = std::chrono::seconds(5);  // of one question
    // How long keys count while their issuer cannot be asked: it may have withdrawn them.
    Duration max_age = std::chrono::hours(24);
    unsigned threads = 2;  // of which a cluster that is silent takes one
    std::function<absl::StatusOr<FoundKeys>(const ClusterRegistration&, MonotonicTime)> ask =
        DiscoverKeys;
  };
  explicit IssuerKeys(Options options);
  ~IssuerKeys();
  IssuerKeys(const IssuerKeys&) = delete;
  IssuerKeys& operator=(const IssuerKeys&) = delete;

  // From now on these are the clusters. Those that have not changed keep their keys.
  void Follow(const RegisteredClusters& clusters);

  // A token of `issuer` does not hold by the keys that are known.
  void Doubt(const std::string& issuer);

  // Writes down what is known.
  void Apply(RegisteredClusters& clusters) const;
  // Whether Apply() has something new to write since this was asked last. Forgets what is too old.
  bool TakeChanged();

  // What is wrong now, one text a cluster; and how long ago its keys were read.
  std::vector<std::string> Errors() const;
  std::vector<std::pair<std::string, Duration>> Ages() const;

 private:
  struct Issuer {
    ClusterRegistration registration;
    MonotonicTime due = MonotonicTime::min();  // when to ask
    MonotonicTime asked = MonotonicTime::min();
    bool asking = false;
    std::optional<FoundKeys> found;
    MonotonicTime read{};  // when that was
    absl::Status status;   // what asking last came to
  };
  using Issuers = std::map<std::string, Issuer>;  // by the cluster's name

  void Work();
  Issuers::iterator Next();
  void Settle(Issuer& issuer, absl::StatusOr<FoundKeys> found);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // All guarded by mutex_.
  Issuers issuers_;
  bool changed_ = false;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace tombolo::ca
