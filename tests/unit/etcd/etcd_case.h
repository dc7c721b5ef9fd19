// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "etcd/client.h"
#include "testing/etcd_cluster.h"
#include "testing/skip.h"

namespace tombolo::etcd {

// Tests with a real etcd of one member, which those share that do not harm it.
class EtcdCase : public ::testing::Test {
 protected:
  void SetUp() override { TOMBOLO_SKIP_UNLESS_OK(testing::EtcdCluster::Ready()); }

  static testing::EtcdCluster& Shared() {
    static const std::unique_ptr<testing::EtcdCluster> cluster =
        testing::EtcdCluster::Start({.flags = {"--max-txn-ops=5000"}});
    static const absl::Status ready = cluster->WaitUntilReady();
    EXPECT_TRUE(ready.ok()) << ready;
    return *cluster;
  }

  static Client::Options To(const std::vector<std::string>& urls) {
    Client::Options options{.endpoints = {}};
    for (const std::string& url : urls) options.endpoints.push_back(*ParseEndpoint(url));
    return options;
  }

  // Waits for `done`, as a member that has just started or lost its leader may need.
  template <typename Done>
  static bool Eventually(const Done& done, Duration limit = std::chrono::seconds(30)) {
    const MonotonicTime deadline = After(limit);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  static void Put(Client& client, const std::string& key, const std::string& value,
                  std::int64_t lease = 0) {
    absl::Status status;
    ASSERT_TRUE(Eventually([&] {
      status = client.Commit({.then = {Operation::Put(key, value, lease)}}).status();
      return status.ok();
    })) << status;
  }
  static void Delete(Client& client, const std::string& key) {
    absl::Status status;
    ASSERT_TRUE(Eventually([&] {
      status = client.Commit({.then = {Operation::Delete(key)}}).status();
      return status.ok();
    })) << status;
  }
  static std::string Get(Client& client, const std::string& key) {
    const absl::StatusOr<RangeAnswer> answer = client.Range({.key = key});
    if (!answer.ok()) return std::string(answer.status().message());
    return answer->entries.empty() ? "(none)" : answer->entries[0].value;
  }

  // Of each test's own.
  const std::string prefix_ =
      absl::StrCat("/", ::testing::UnitTest::GetInstance()->current_test_info()->name(), "/");
};

}  // namespace tombolo::etcd
