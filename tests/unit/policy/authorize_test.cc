// SPDX-License-Identifier: Apache-2.0
#include "policy/authorize.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::policy {
namespace {

using testing::HasSubstr;

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }

TEST(AuthorizeTest, AllowsWhatARuleSays) {
  const auto snapshot = mesh::SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  const Decision decision = Authorize(*snapshot, snapshot->workloads[0].id, "shop/web", 80);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.rule, 0u);
  EXPECT_THAT(decision.reason, HasSubstr("allow[0]"));
}

TEST(AuthorizeTest, DeniesEverythingElseAndSaysWhy) {
  const auto snapshot = mesh::SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  const SpiffeId curl = snapshot->workloads[0].id;
  const auto reason = [&](const SpiffeId& client, const char* service, std::uint16_t port) {
    const Decision decision = Authorize(*snapshot, client, service, port);
    EXPECT_FALSE(decision.allowed);
    EXPECT_FALSE(decision.rule.has_value());
    return decision.reason;
  };
  EXPECT_THAT(reason(curl, "shop/web", 443), HasSubstr("no rule allows"));
  EXPECT_THAT(reason(curl, "shop/web", 81), HasSubstr("has no port 81"));
  EXPECT_THAT(reason(curl, "shop/other", 80), HasSubstr("'shop/other' is unknown"));
  EXPECT_THAT(reason(SpiffeId(), "shop/web", 80), HasSubstr("no identity"));
  EXPECT_THAT(reason(snapshot->workloads[1].id, "shop/web", 80), HasSubstr("no rule allows"));
}

TEST(AuthorizeTest, WhatRunsIsDecidedByTheRulesAlone) {
  const auto snapshot = mesh::SmallMesh();
  snapshot->imports = mesh::Imports{};
  snapshot->services.clear();  // between two clusters
  ASSERT_TRUE(snapshot->Index().ok());
  const SpiffeId curl = snapshot->workloads[0].id;
  EXPECT_FALSE(Authorize(*snapshot, curl, "shop/web", 80).allowed);
  EXPECT_TRUE(AuthorizeRunning(*snapshot, curl, "shop/web", 80).allowed);
  EXPECT_FALSE(AuthorizeRunning(*snapshot, curl, "shop/web", 443).allowed);
  EXPECT_FALSE(AuthorizeRunning(*snapshot, curl, "shop/other", 80).allowed);
  EXPECT_FALSE(
      AuthorizeRunning(*snapshot, Id("spiffe://td/cluster/east/node/east-1"), "shop/web", 80)
          .allowed);
}

TEST(AuthorizeTest, AnotherTrustDomainNeedsRulesThatNameIt) {
  const auto snapshot = mesh::SmallMesh();
  snapshot->allow = {{.from = "spiffe://td/*", .service = "shop/web", .ports = {}},
                     {.from = "spiffe://other/ns/a/*", .service = "shop/web", .ports = {}}};
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_EQ(Authorize(*snapshot, Id("spiffe://other/ns/a/sa/x"), "shop/web", 80).rule, 1u);
  for (const char* id : {"spiffe://other/a", "spiffe://third/ns/a/sa/x", "spiffe://td2/a"}) {
    const Decision decision = Authorize(*snapshot, Id(id), "shop/web", 80);
    EXPECT_FALSE(decision.allowed) << id;
    EXPECT_THAT(decision.reason, HasSubstr("no rule allows"));
  }
}

TEST(AuthorizeTest, AgentsAreNoClients) {
  const auto snapshot = mesh::SmallMesh();
  snapshot->allow = {
      {.from = "spiffe://td/*", .service = "shop/web", .ports = {}},
      {.from = "spiffe://other/*", .service = "shop/web", .ports = {}},
      {.from = "spiffe://td/cluster/east/gateway/gw-1", .service = "shop/web", .ports = {}}};
  ASSERT_TRUE(snapshot->Index().ok());
  for (const char* id :
       {"spiffe://td/cluster/east/gateway/gw-1", "spiffe://td/cluster/east/node/east-1",
        "spiffe://td/ca", "spiffe://other/cluster/east/gateway/gw-1"}) {
    const Decision decision = Authorize(*snapshot, Id(id), "shop/web", 80);
    EXPECT_FALSE(decision.allowed) << id;
    EXPECT_THAT(decision.reason, HasSubstr("is an agent's, not a workload's"));
  }
  EXPECT_TRUE(
      Authorize(*snapshot, Id("spiffe://td/cluster/east/ns/a/sa/x"), "shop/web", 80).allowed);
  EXPECT_TRUE(Authorize(*snapshot, Id("spiffe://other/ca"), "shop/web", 80).allowed);
}

TEST(AuthorizeTest, AnEmptySnapshotDeniesEverything) {
  EXPECT_FALSE(Authorize(mesh::Snapshot(), Id("spiffe://td/a"), "shop/web", 80).allowed);
}

TEST(AuthorizeTest, NamesTheFirstMatchingRule) {
  const auto snapshot = mesh::SmallMesh();
  const std::string curl = snapshot->workloads[0].id.text();
  snapshot->allow = {{.from = "spiffe://td/*", .service = "shop/web", .ports = {443}},
                     {.from = "spiffe://td/cluster/east/*", .service = "shop/web", .ports = {}},
                     {.from = curl, .service = "shop/web", .ports = {80}}};
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_EQ(Authorize(*snapshot, Id(curl), "shop/web", 80).rule, 1u);
  EXPECT_EQ(Authorize(*snapshot, Id(curl), "shop/web", 443).rule, 0u);
}

// The index must say what reading the list from top to bottom says.
TEST(AuthorizeTest, AgreesWithALinearSearch) {
  std::mt19937 random(1);
  const auto pick = [&](std::initializer_list<const char*> of) {
    return std::string(*(of.begin() + random() % of.size()));
  };
  const auto path = [&] {
    std::string text = "spiffe://td";
    for (std::size_t i = 0, depth = 1 + random() % 3; i < depth; ++i) {
      absl::StrAppend(&text, "/", pick({"a", "b", "ab"}));
    }
    return text;
  };
  int allowed = 0;
  for (int round = 0; round < 200; ++round) {
    const auto snapshot = mesh::SmallMesh();
    snapshot->allow.clear();
    for (int i = 0; i < 4; ++i) {
      mesh::AllowRule rule{.from = path() + pick({"", "/*"}), .service = "shop/web", .ports = {}};
      if (random() % 2) rule.ports = {static_cast<std::uint16_t>(random() % 2 ? 80 : 443)};
      snapshot->allow.push_back(rule);
    }
    ASSERT_TRUE(snapshot->Index().ok());
    for (int i = 0; i < 20; ++i) {
      const SpiffeId client = Id(path());
      std::optional<std::size_t> expected;
      for (std::size_t r = 0; r < snapshot->allow.size() && !expected; ++r) {
        const mesh::AllowRule& rule = snapshot->allow[r];
        if (rule.Matches(client) && (rule.ports.empty() || rule.ports[0] == 80)) expected = r;
      }
      const Decision decision = Authorize(*snapshot, client, "shop/web", 80);
      ASSERT_EQ(decision.rule, expected) << client.text();
      ASSERT_EQ(decision.allowed, expected.has_value());
      allowed += decision.allowed;
    }
  }
  EXPECT_GT(allowed, 100);  // the comparison was not about denials only
}

// The least of ten times that finding the last of `rules` rules takes a hundred times.
std::chrono::steady_clock::duration TimeOfLastRule(int rules) {
  const auto snapshot = mesh::SmallMesh();
  for (int i = 0; i < rules; ++i) {
    snapshot->allow.push_back(
        {.from = absl::StrCat("spiffe://td/cluster/east/ns/shop/sa/client-", i),
         .service = "shop/web",
         .ports = {}});
  }
  EXPECT_TRUE(snapshot->Index().ok());
  const SpiffeId last = Id(absl::StrCat("spiffe://td/cluster/east/ns/shop/sa/client-", rules - 1));
  auto least = std::chrono::steady_clock::duration::max();
  for (int round = 0; round < 10; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) {
      const auto decision = Authorize(*snapshot, last, "shop/web", 80);
      EXPECT_EQ(decision.rule, static_cast<std::size_t>(rules));
    }
    least = std::min(least, std::chrono::steady_clock::now() - begin);
  }
  return least;
}

TEST(AuthorizeTest, ThousandsOfRulesAreNoSearch) {
  // A search would take two thousand times as long; how fast the machine is does not matter.
  EXPECT_LT(TimeOfLastRule(20000), TimeOfLastRule(10) * 50);
}

}  // namespace
}  // namespace tombolo::policy
