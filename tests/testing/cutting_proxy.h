// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "testing/loopback_listener.h"

namespace tombolo::testing {

// Stands between a client and an etcd on loopback, and loses what a test wants lost
// of the transactions that pass. Everything else passes.
class CuttingProxy {
 public:
  enum class Loss {
    kNone,
    kRequest,  // cut before etcd hears of it
    kAnswer,   // cut when etcd has answered
    kSilence,  // etcd answers, but the client hears nothing
  };

  explicit CuttingProxy(const std::string& endpoint);  // http://127.0.0.1:<port>
  ~CuttingProxy();

  std::string endpoint() const;
  // Of the next `count` transactions.
  void Lose(Loss loss, int count);
  int connections() const { return connections_; }  // since the start

 private:
  void Accept();
  void Relay(Fd client);
  Loss NextLoss();

  int server_port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  Loss loss_ = Loss::kNone;  // guarded by mutex_, as left_
  int left_ = 0;
  const LoopbackListener listener_;
  std::list<std::thread> relays_;  // of the accepting thread, until it has ended
  std::thread accepting_;
};

}  // namespace tombolo::testing
