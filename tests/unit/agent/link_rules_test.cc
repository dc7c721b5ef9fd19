// SPDX-License-Identifier: Apache-2.0
#include "agent/link_rules.h"

#include <map>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "testing/test_pki.h"

namespace tombolo::agent {
namespace {

using ::testing::ElementsAre;

net::SocketAddress Address(std::uint16_t port) {
  return {net::IpAddress::Loopback(/*ipv6=*/false), port};
}

class LinkRulesTest : public ::testing::Test {
 protected:
  LinkRulesTest() {
    snapshot_.trust_domain = "td";
    snapshot_.clusters = {{.name = "east"}, {.name = "south"}, {.name = "north"}};
    snapshot_.clusters[0].gateways = {{.name = "gw-1", .address = Address(1)},
                                      {.name = "gw-2", .address = Address(2)}};
    snapshot_.clusters[1].gateways = {{.name = "gw-1", .via = "east"}};
    snapshot_.clusters[2].gateways = {{.name = "gw-1", .via = "east"},
                                      {.name = "gw-2", .via = "south"},
                                      {.name = "gw-3", .address = Address(3)}};
    config_.cluster = "east";
    config_.node = "gw-1";
  }
  // The identity of east's gateway.
  static identity::StorePtr Own(const tls::Revocations& revoked) {
    static const auto* pki = new testing::TestPki("td");
    static const auto* own =
        new tls::CredentialsPtr(pki->Credentials("/cluster/east/gateway/gw-1"));
    std::map<SpiffeId, identity::Store::Entry> entries;
    entries[(*own)->id()].credentials = *own;
    return identity::Store::From(std::move(entries), revoked);
  }
  // What becomes of a link from this peer; kCount: it is accepted.
  LinkRefusal Judge(const std::string& path, const std::string& trust_domain = "td",
                    const tls::Revocations& revoked = {}) {
    const LinkRules rules(snapshot_, config_, Own(revoked));
    LinkRefusal refusal = LinkRefusal::kCount;
    const auto id = SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, path));
    const absl::Status status = rules.Check(*id, "4a", refusal);
    return status.ok() ? LinkRefusal::kCount : refusal;
  }

  mesh::Snapshot snapshot_;
  source::AgentConfig config_;
};

TEST_F(LinkRulesTest, AGatewaySpeaksForItsOwnClusterIfTheDirectoryHasIt) {
  EXPECT_EQ(Judge("/cluster/south/gateway/gw-1"), LinkRefusal::kCount);
  EXPECT_EQ(Judge("/cluster/north/gateway/gw-1"), LinkRefusal::kCount);
  EXPECT_EQ(Judge("/cluster/south/gateway/gw-2"), LinkRefusal::kDirectory);
  EXPECT_EQ(Judge("/cluster/north/gateway/gw-2"), LinkRefusal::kDirectory) << "via another";
  EXPECT_EQ(Judge("/cluster/north/gateway/gw-3"), LinkRefusal::kDirectory) << "can be dialled";
  EXPECT_EQ(Judge("/cluster/east/gateway/gw-2"), LinkRefusal::kDirectory) << "of the own cluster";
  EXPECT_EQ(Judge("/cluster/west/gateway/gw-1"), LinkRefusal::kDirectory) << "not known";
}

TEST_F(LinkRulesTest, NobodyElseSpeaksForACluster) {
  for (const char* path : {"/cluster/south/node/gw-1", "/cluster/south/ns/a/sa/gw-1", "/ca",
                           "/cluster/south/gateway/gw-1/x", "/gateway/gw-1"}) {
    EXPECT_EQ(Judge(path), LinkRefusal::kIdentity) << path;
  }
  EXPECT_EQ(Judge("/cluster/south/gateway/gw-1", "other"), LinkRefusal::kIdentity);
}

TEST_F(LinkRulesTest, NeitherDoesWhoeverIsRevoked) {
  const std::string path = "/cluster/south/gateway/gw-1";
  EXPECT_EQ(Judge(path, "td", {.ids = {"spiffe://td" + path}}), LinkRefusal::kIdentity);
  EXPECT_EQ(Judge(path, "td", {.serials = {"4a"}}), LinkRefusal::kIdentity);
  EXPECT_EQ(Judge(path, "td", {.clusters = {"south"}}), LinkRefusal::kIdentity);
  EXPECT_EQ(Judge(path, "td", {.clusters = {"north"}}), LinkRefusal::kCount);
}

TEST_F(LinkRulesTest, WithoutAnIdentityOfItsOwnItTakesNone) {
  const std::string path = "/cluster/south/gateway/gw-1";
  EXPECT_EQ(Judge(path, "td", {.clusters = {"east"}}), LinkRefusal::kIdentity);
  const SpiffeId peer = *SpiffeId::Parse("spiffe://td" + path);
  LinkRefusal refusal = LinkRefusal::kCount;
  EXPECT_FALSE(LinkRules(snapshot_, config_, nullptr).Check(peer, "4a", refusal).ok());
  EXPECT_EQ(refusal, LinkRefusal::kIdentity);
  // One that is being made again ends nothing.
  EXPECT_TRUE(
      LinkRules(snapshot_, config_, identity::Store::From({}, {})).Check(peer, "4a", refusal).ok());
}

TEST_F(LinkRulesTest, DialsWhatCanBeDialledOfTheClustersThatAreConfigured) {
  config_.cluster = "south";
  EXPECT_TRUE(LinkRules(snapshot_, config_, nullptr).targets.empty());
  config_.links = {{"east"}, {"north"}, {"unknown"}};
  const LinkRules rules(snapshot_, config_, nullptr);
  EXPECT_THAT(rules.targets, ElementsAre(LinkTarget{"east", "gw-1", Address(1)},
                                         LinkTarget{"east", "gw-2", Address(2)},
                                         LinkTarget{"north", "gw-3", Address(3)}));
  EXPECT_EQ(rules.id.text(), "spiffe://td/cluster/south/gateway/gw-1");
  EXPECT_EQ(rules.Credentials(), nullptr);
}

}  // namespace
}  // namespace tombolo::agent
