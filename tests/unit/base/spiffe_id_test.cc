// SPDX-License-Identifier: Apache-2.0
#include "base/spiffe_id.h"

#include <string>

#include <gtest/gtest.h>

namespace tombolo {
namespace {

TEST(SpiffeIdTest, SplitsTrustDomainAndPath) {
  const auto id = SpiffeId::Parse("spiffe://tombolo.example/cluster/east/ns/shop/sa/curl");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->trust_domain(), "tombolo.example");
  EXPECT_EQ(id->path(), "/cluster/east/ns/shop/sa/curl");
}

TEST(SpiffeIdTest, AcceptsATrustDomainWithoutPath) {
  const auto id = SpiffeId::Parse("spiffe://a_b-c.9");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->trust_domain(), "a_b-c.9");
  EXPECT_EQ(id->path(), "");
}

class RefusedSpiffeId : public testing::TestWithParam<const char*> {};

TEST_P(RefusedSpiffeId, IsRefused) {
  const auto id = SpiffeId::Parse(GetParam());
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusedSpiffeId,
    testing::Values("", "spiffe:", "spiffe://", "spiffe:///path", "http://td/path", "SPIFFE://td/a",
                    "spiffe://TD/a", "spiffe://td:80/a", "spiffe://user@td/a", "spiffe://td/",
                    "spiffe://td/a/", "spiffe://td//a", "spiffe://td/.", "spiffe://td/a/../b",
                    "spiffe://td/a?b", "spiffe://td/a#b", "spiffe://td/%41", "spiffe://td/a b",
                    "spiffe://td/\xc3\xa4", "spiffe://t\xc3\xa4/a", "spiffe://td/*"));

TEST(SpiffeIdTest, RefusesWhatIsTooLong) {
  const std::string prefix = "spiffe://td/";
  EXPECT_TRUE(SpiffeId::Parse(prefix + std::string(2048 - prefix.size(), 'a')).ok());
  EXPECT_FALSE(SpiffeId::Parse(prefix + std::string(2049 - prefix.size(), 'a')).ok());
  EXPECT_TRUE(SpiffeId::Parse("spiffe://" + std::string(255, 'a') + "/b").ok());
  EXPECT_FALSE(SpiffeId::Parse("spiffe://" + std::string(256, 'a') + "/b").ok());
}

TEST(SpiffeIdTest, RefusesAnEmbeddedNul) {
  EXPECT_FALSE(SpiffeId::Parse(absl::string_view("spiffe://td/a\0b", 15)).ok());
}

TEST(SpiffeIdTest, BuildsAWorkloadsId) {
  const auto id = SpiffeId::ForWorkload("td", "east", "shop", "web");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->text(), "spiffe://td/cluster/east/ns/shop/sa/web");
}

TEST(SpiffeIdTest, BuildsTheIdsOfNodesAndOfTheAuthority) {
  EXPECT_EQ(SpiffeId::ForNode("td", "east", "n-1.lan")->text(),
            "spiffe://td/cluster/east/node/n-1.lan");
  EXPECT_EQ(SpiffeId::ForAuthority("td")->text(), "spiffe://td/ca");
  EXPECT_EQ(SpiffeId::ForTrustDomain("td")->text(), "spiffe://td");
  EXPECT_FALSE(SpiffeId::ForNode("td", "east", "a/b").ok());
  EXPECT_FALSE(SpiffeId::ForNode("td", "", "a").ok());
  EXPECT_FALSE(SpiffeId::ForAuthority("td/x").ok());
  EXPECT_FALSE(SpiffeId::ForTrustDomain("td/x").ok());
}

TEST(SpiffeIdTest, NamesWhatThePathSays) {
  const SpiffeId workload = *SpiffeId::ForWorkload("td", "east", "shop", "web");
  EXPECT_EQ(workload.name().kind, SpiffeId::Kind::kWorkload);
  EXPECT_EQ(workload.name().cluster, "east");
  EXPECT_EQ(workload.name().ns, "shop");
  EXPECT_EQ(workload.name().service_account, "web");
  const SpiffeId node = *SpiffeId::ForNode("td", "east", "n1");
  EXPECT_EQ(node.name().kind, SpiffeId::Kind::kNode);
  EXPECT_EQ(node.name().cluster, "east");
  EXPECT_EQ(node.name().node, "n1");
  const SpiffeId gateway = *SpiffeId::ForGateway("td", "east", "gw-1");
  EXPECT_EQ(gateway.text(), "spiffe://td/cluster/east/gateway/gw-1");
  EXPECT_EQ(gateway.name().kind, SpiffeId::Kind::kGateway);
  EXPECT_EQ(gateway.name().cluster, "east");
  EXPECT_EQ(gateway.name().gateway, "gw-1");
  EXPECT_EQ(SpiffeId::ForAuthority("td")->name().kind, SpiffeId::Kind::kAuthority);
  EXPECT_EQ(SpiffeId::ForTrustDomain("td")->name().kind, SpiffeId::Kind::kTrustDomain);
  EXPECT_EQ(SpiffeId().name().kind, SpiffeId::Kind::kOther);
  for (const char* other : {"spiffe://td/ca/x", "spiffe://td/cluster/east",
                            "spiffe://td/cluster/east/node/n/x", "spiffe://td/cluster/e/ns/a/sa",
                            "spiffe://td/cluster/e/ns/a/sb/b", "spiffe://td/Cluster/e/node/n",
                            "spiffe://td/cluster/e/gateways/g", "spiffe://td/cluster/e/gateway"}) {
    EXPECT_EQ(SpiffeId::Parse(other)->name().kind, SpiffeId::Kind::kOther) << other;
  }
}

TEST(SpiffeIdTest, ANameCannotForgeAnotherPath) {
  EXPECT_FALSE(SpiffeId::ForWorkload("td", "east/ns/other", "shop", "web").ok());
  EXPECT_FALSE(SpiffeId::ForWorkload("td/cluster/west", "east", "shop", "web").ok());
  EXPECT_FALSE(SpiffeId::ForGateway("td", "east", "gw/../../west/gateway/gw").ok());
  EXPECT_FALSE(SpiffeId::ForWorkload("td", "east", "..", "web").ok());
  EXPECT_FALSE(SpiffeId::ForWorkload("td", "east", "", "web").ok());
}

TEST(SpiffeIdTest, TheEmptyIdEqualsNoOther) {
  const SpiffeId none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.trust_domain(), "");
  EXPECT_EQ(none.path(), "");
  EXPECT_NE(none, *SpiffeId::Parse("spiffe://td"));
}

}  // namespace
}  // namespace tombolo
