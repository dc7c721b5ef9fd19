// SPDX-License-Identifier: Apache-2.0
#include "agent/local_endpoints.h"

#include <list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace tombolo::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LocalEndpointsTest : public ::testing::Test {
 protected:
  const mesh::Endpoint& Add(const std::string& workload, std::uint32_t weight = 1) {
    mesh::Endpoint endpoint;
    endpoint.workload = workload;
    endpoint.address = *net::SocketAddress::Parse("10.0.0.10:8080");  // the same for all
    endpoint.weight = weight;
    endpoints_.push_back(endpoint);
    candidates_.push_back(&endpoints_.back());
    return endpoints_.back();
  }
  std::string Picked() { return candidates_[local_.Pick(candidates_, now_)]->workload; }
  LocalEndpoints::Use Take() { return local_.Begin(*candidates_[local_.Pick(candidates_, now_)]); }

  std::list<mesh::Endpoint> endpoints_;
  std::vector<const mesh::Endpoint*> candidates_;
  LocalEndpoints local_;
  MonotonicTime now_ = MonotonicTime() + seconds(1000);
};

TEST_F(LocalEndpointsTest, IdleOnesTakeTurns) {
  for (const char* name : {"a", "b", "c"}) Add(name);
  std::string turns;
  for (int i = 0; i < 6; ++i) {
    turns += Picked();
    Take().OnConnected();  // and has ended at once
  }
  EXPECT_EQ(turns, "abcabc");
}

TEST_F(LocalEndpointsTest, TheOneWithTheFewestConnectionsIsNext) {
  const mesh::Endpoint& a = Add("a");
  const mesh::Endpoint& b = Add("b");
  auto first = local_.Begin(a), second = local_.Begin(a);
  auto third = local_.Begin(b);
  EXPECT_EQ(Picked(), "b");  // although it was used last
  second = {};
  first = {};
  EXPECT_EQ(Picked(), "a");
}

TEST_F(LocalEndpointsTest, WeightsAreSharesOfConnections) {
  Add("one", 1);
  Add("three", 3);
  std::vector<LocalEndpoints::Use> running;
  int heavy = 0;
  for (int i = 0; i < 40; ++i) {
    heavy += Picked() == "three" ? 1 : 0;
    running.push_back(Take());
  }
  EXPECT_EQ(heavy, 30);
}

TEST_F(LocalEndpointsTest, WhatFailedComesLastForAGrowingTime) {
  const mesh::Endpoint& a = Add("a");
  const mesh::Endpoint& b = Add("b");
  local_.Begin(a).OnFailure(now_);
  std::vector<LocalEndpoints::Use> running;
  for (int i = 0; i < 5; ++i) running.push_back(local_.Begin(b));
  EXPECT_EQ(Picked(), "b");
  now_ += LocalEndpoints::kFirstAvoidance;
  EXPECT_EQ(Picked(), "a");
  local_.Begin(a).OnFailure(now_);
  now_ += LocalEndpoints::kFirstAvoidance;
  EXPECT_EQ(Picked(), "b");  // twice as long
  now_ += LocalEndpoints::kFirstAvoidance;
  EXPECT_EQ(Picked(), "a");
  local_.Begin(a).OnConnected();
  local_.Begin(a).OnFailure(now_);
  now_ += LocalEndpoints::kFirstAvoidance;
  EXPECT_EQ(Picked(), "a");  // the success had forgotten the failures before
}

TEST_F(LocalEndpointsTest, ABurstOfFailuresIsOne) {
  const mesh::Endpoint& a = Add("a");
  const mesh::Endpoint& b = Add("b");
  for (int i = 0; i < 20; ++i) {
    local_.Begin(a).OnFailure(now_);
    now_ += milliseconds(1);
  }
  auto busy = local_.Begin(b);
  now_ += LocalEndpoints::kFirstAvoidance;
  EXPECT_EQ(Picked(), "a");
}

TEST_F(LocalEndpointsTest, WhereAllHaveFailedOneIsTriedAllTheSame) {
  const mesh::Endpoint& a = Add("a");
  local_.Begin(a).OnFailure(now_);
  EXPECT_EQ(Picked(), "a");
}

TEST_F(LocalEndpointsTest, ForgetsWhatIsOfNoConsequence) {
  const mesh::Endpoint& a = Add("a");
  const mesh::Endpoint& b = Add("b");
  const mesh::Endpoint& c = Add("c");
  auto running = local_.Begin(a);
  local_.Begin(b).OnFailure(now_);
  local_.Begin(c).OnConnected();
  local_.Forget(now_);
  EXPECT_EQ(local_.size(), 2u);
  running = {};
  local_.Forget(now_ + seconds(60));
  EXPECT_EQ(local_.size(), 0u);
}

TEST_F(LocalEndpointsTest, AUseMayOutliveIt) {
  LocalEndpoints::Use use;
  {
    LocalEndpoints local;
    use = local.Begin(Add("a"));
  }
  use.OnFailure(now_);
}

}  // namespace
}  // namespace tombolo::agent
