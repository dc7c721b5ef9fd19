// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tls/https.h"

namespace tombolo::ca {

// Clients that enrol with join tokens at replicas that die, without a pause, and remember every
// answer. Each asks with one key until he is answered. Two of them have each token, so one of them
// has to be refused. Threads of its own.
class CrashClients {
 public:
  struct Acknowledged {
    std::string token;
    std::string key;   // as the token's record has it
    std::string leaf;  // PEM
  };
  struct Options {
    std::vector<std::uint16_t> ports;  // one of each replica
    std::shared_ptr<const tls::HttpsContext> context;
    std::string id;                          // what the tokens are for
    std::function<std::string()> new_token;  // any thread calls it
    int pairs = 2;
  };

  explicit CrashClients(Options options);
  ~CrashClients() { Finish(); }

  // How often a replica has issued, as its clients know.
  int acknowledged_by(std::size_t replica) const { return by_replica_[replica]; }

  // Lets everybody come to an end with the token that he has.
  void Finish();

  // After Finish().
  const std::vector<Acknowledged>& acknowledged() const { return acknowledged_; }
  std::size_t tokens() const;  // that were shown
  int refused() const { return refused_; }
  int cut() const { return cut_; }  // requests without an answer
  const std::vector<std::string>& strange() const { return strange_; }

 private:
  // Tokens of one pair, in the order in which both take them.
  struct Tokens {
    std::mutex mutex;
    std::vector<std::string> made;
  };
  class Client;

  void Work(Tokens& tokens, unsigned seed);
  std::string TokenAt(Tokens& tokens, std::size_t index);
  void Enrol(Client& client, const std::string& token);

  const Options options_;
  std::vector<std::atomic<int>> by_replica_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> refused_ = 0, cut_ = 0;
  std::mutex mutex_;
  std::vector<Acknowledged> acknowledged_;  // guarded by mutex_, as what follows
  std::vector<std::string> strange_;
  std::vector<std::unique_ptr<Tokens>> tokens_;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace tombolo::ca
