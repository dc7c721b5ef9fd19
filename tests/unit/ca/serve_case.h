// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "testing/shell.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {

// Replicas of tombolo-ca serve as their clients see them: curl, openssl, and commands beside them.
// All share one directory, with a cluster "east" whose node n1 has the workload shop/web.
class ServeCase : public ::testing::Test {
 protected:
  explicit ServeCase(int replicas = 1);
  void SetUp() override;  // skips without curl and openssl
  void TearDown() override;

  // Makes a trust domain in the store that `store` says, as ca.yaml has it.
  void SetUpStore(const std::string& store);

  void Start(int replica = 0);  // until it is ready
  void Begin(int replica);      // which takes a moment
  int Stop(int replica = 0);    // its exit status
  void Kill(int replica);       // SIGKILL

  testing::ShellResult Run(const std::string& command) const;
  // A command of tombolo-ca, which succeeds: its output without the last line's end.
  std::string Good(const std::string& arguments) const;
  // What a replica answers, and after it the status in a line of its own.
  std::string Curl(const std::string& path, const std::string& more = "", int replica = 0) const;
  void FetchRoots() const;
  void NewKey(const std::string& name) const;
  std::string Metrics(int replica = 0) const;
  std::uint16_t port(int replica) const { return at(replica).port; }
  // Asks for `id`, and writes what it gets to <out>.pem, leaf and intermediate.
  std::string Enrol(const std::string& id, const std::string& out, const std::string& credential,
                    const std::string& operation = "simpleenroll", int replica = 0) const;

  const std::string node_ = "spiffe://test.example/cluster/east/node/n1";
  const std::string web_ = "spiffe://test.example/cluster/east/ns/shop/sa/web";
  testing::TemporaryDirectory directory_;

 private:
  struct Replica {
    std::string config;
    std::uint16_t port, admin;
    pid_t process = 0;
  };
  const Replica& at(int replica) const { return replicas_[static_cast<std::size_t>(replica)]; }
  int Wait(int replica);

  std::vector<Replica> replicas_;
};

}  // namespace tombolo::ca
