// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "etcd/client.h"
#include "etcd/lease.h"
#include "source/directory_export.h"
#include "source/directory_records.h"

namespace tombolo::directory {

// Says in etcd, for as long as it lives, that this gateway is there, and, while no other gateway
// of the cluster does it, what the cluster serves. Both hang on one lease: when the process dies,
// others know in a ttl, and another gateway goes on.
//
// Only the publisher writes, and its every write is on the condition that it still is the one: one
// that was stopped for longer than its lease changes nothing when it wakes up.
//
// Owns its clients and two threads. Any thread may call. Destroying it takes the gateway away at
// once, which a gateway does when it begins to drain, and waits for that for a ttl at most.
class Publisher {
 public:
  struct Options {
    etcd::Client::Options client;
    std::string prefix;
    std::string cluster, gateway;
    Duration ttl = std::chrono::seconds(15);
  };
  struct View {
    bool announced = false;             // others can see this gateway
    bool publisher = false;             // it is the one that writes
    absl::Status error;                 // of the last attempt
    std::vector<std::string> problems;  // source::Publication's
  };

  explicit Publisher(Options options);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // None: the own file does not know this gateway, and nobody is sent to it.
  void SetGateway(std::optional<source::GatewayRecord> record);
  // The newest plan is the one that counts.
  void SetPublication(source::Publication publication);

  View view() const;

 private:
  struct Work {
    std::int64_t lease = 0;
    std::optional<source::GatewayRecord> record;
    source::Publication publication;
  };

  void Loop();
  absl::Status Do(const Work& work);
  // Whether etcd has `key` with this lease.
  absl::StatusOr<bool> Keeps(const std::string& key, std::int64_t lease);
  absl::Status Announce(const Work& work);
  absl::Status BecomePublisher(const Work& work);
  absl::Status Publish(const Work& work);
  std::string Key(const std::string& below) const { return options_.prefix + below; }

  const Options options_;
  const std::string gateway_key_, publisher_key_;
  etcd::Client client_;
  // Of the thread.
  std::int64_t announced_with_ = 0, publisher_with_ = 0;  // leases
  std::optional<source::GatewayRecord> announced_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // what follows is guarded by mutex_
  Work work_;
  bool changed_ = false;
  bool stop_ = false;
  View view_;
  std::thread thread_;
  std::unique_ptr<etcd::KeptLease> lease_;
};

}  // namespace tombolo::directory
