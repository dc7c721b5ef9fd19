// SPDX-License-Identifier: Apache-2.0
#include "source/load_balancing.h"

#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "source/values.h"

namespace tombolo::source {
namespace {

using mesh::LoadBalancing;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

absl::StatusOr<LoadBalancing> Read(const std::string& text) {
  YamlErrors errors("directory.yaml");
  const std::optional<YamlNode> root = ParseYaml(text, errors);
  LoadBalancing read;
  if (root) {
    ReadLoadBalancing(
        YamlMap(*root, "balancing", errors),
        [](absl::string_view name) -> absl::StatusOr<std::string> {
          if (name == "nowhere") return BadValue(name, "is not a cluster of this file");
          return std::string(name);
        },
        read);
  }
  if (absl::Status status = errors.ToStatus(); !status.ok()) return status;
  return read;
}

TEST(LoadBalancingTest, EveryKeyIsRead) {
  const auto read = Read(R"(
tiers:
  - clusters: [east]
  - clusters: [west, south]
cluster_weights:
  - {cluster: west, weight: 3}
  - {cluster: south, weight: 0}
overflow_below: 80
panic_below: 0
affinity: source
)");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->tiers, ElementsAre(ElementsAre("east"), ElementsAre("west", "south")));
  EXPECT_THAT(read->cluster_weights, ElementsAre(Pair("west", 3), Pair("south", 0)));
  EXPECT_EQ(read->overflow_below, 80u);
  EXPECT_EQ(read->panic_below, 0u);
  EXPECT_EQ(read->affinity, LoadBalancing::Affinity::kSource);
}

TEST(LoadBalancingTest, NothingIsTheDefault) {
  const auto read = Read("{}");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, LoadBalancing());
}

TEST(LoadBalancingTest, OrdersHaveNames) {
  EXPECT_EQ(Read("order: locality")->order, LoadBalancing::Order::kLocality);
  EXPECT_EQ(Read("order: latency")->order, LoadBalancing::Order::kLatency);
  EXPECT_EQ(Read("order: none")->order, LoadBalancing::Order::kNone);
  EXPECT_EQ(Read("order: local")->order, LoadBalancing::Order::kLocal);
}

struct Mistake {
  const char* name;
  const char* text;
  const char* error;
};

class LoadBalancingMistake : public testing::TestWithParam<Mistake> {};

TEST_P(LoadBalancingMistake, IsReported) {
  const auto read = Read(GetParam().text);
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(std::string(read.status().message()), HasSubstr(GetParam().error));
}

INSTANTIATE_TEST_SUITE_P(
    LoadBalancing, LoadBalancingMistake,
    testing::Values(
        Mistake{"order", "order: nearest", "1: balancing.order: 'nearest' is not local"},
        Mistake{"affinity", "affinity: cookie", "balancing.affinity: 'cookie' is not none"},
        Mistake{"percent", "overflow_below: 101", "balancing.overflow_below: '101'"},
        Mistake{"both", "order: none\ntiers: [{clusters: [east]}]", "cannot stand beside order"},
        Mistake{"twice", "tiers: [{clusters: [east]}, {clusters: [east]}]",
                "'east' is in a tier already"},
        Mistake{"empty", "tiers: [{clusters: []}]", "has no valid cluster"},
        Mistake{"unknown", "tiers: [{clusters: [nowhere]}]", "'nowhere' is not a cluster"},
        Mistake{"weights", "cluster_weights: [{cluster: a, weight: 1}, {cluster: a, weight: 2}]",
                "'a' has a weight already"},
        Mistake{"key", "overflow: 10", "is not a known key"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace tombolo::source
