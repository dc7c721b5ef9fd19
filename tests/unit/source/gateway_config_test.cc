// SPDX-License-Identifier: Apache-2.0
// What differs in a gateway's configuration.
#include <string>

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "unit/source/agent_config_case.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kGateway[] =
    "role: gateway\ncluster: west\nnode: west-gw-1\ndirectory: directory.yaml\n";

TEST_F(AgentConfigTest, AGatewayNeedsNoIdentity) {
  const auto config = Load(kGateway);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->role, Role::kGateway);
  EXPECT_EQ(config->node, "west-gw-1");
  EXPECT_EQ(config->gateway.listen.ToString(), "0.0.0.0:15443");
  EXPECT_EQ(config->deadlines.dial, std::chrono::seconds(3));
  const auto node = Load(kRequired);
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->role, Role::kNode);
}

// The example of docs/configuration.md is the defaults, so both must be equal.
TEST_F(AgentConfigTest, TheDocumentedGatewayIsTheDefaults) {
  const auto config = Load(absl::StrCat(kGateway, R"(
instance: default
gateway:
  listen: 0.0.0.0:15443
admin:
  socket: /run/tombolo/agent.sock
  listen: 127.0.0.1:15020
threads: 0
deadlines:
  handshake: 5s
  dial: 3s
  ping: 3s
  drain: 30s
links: []
limits:
  connections: 65536
  connections_per_address: 20000
  handshakes: 4096
  handshakes_per_address: 1024
log:
  level: info
  format: text
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, *Load(kGateway));
}

TEST_F(AgentConfigTest, EachRoleHasKeysOfItsOwn) {
  const auto error = [&](absl::string_view text) {
    return std::string(Load(text).status().message());
  };
  for (const char* more : {"identity: {svids: a, svid: b, bundle: c}\n", "capture: {port: 1}\n",
                           "tunnel: {listen: 0.0.0.0:1}\n", "relay: user\n", "splice: none\n",
                           "deadlines: {idle_tunnel: 1s}\n", "deadlines: {dial_delay: 1s}\n",
                           "limits: {tunnels_per_peer: 1}\n"}) {
    EXPECT_THAT(error(absl::StrCat(kGateway, more)), HasSubstr("is not a known key")) << more;
  }
  for (const char* more : {"gateway: {listen: 0.0.0.0:1}\n", "limits: {connections: 1}\n",
                           "links: [{cluster: east}]\n"}) {
    EXPECT_THAT(ErrorOf(more), HasSubstr("is not a known key")) << more;
  }
  EXPECT_THAT(error(absl::StrCat(kGateway, "gateway: {listen: nowhere}\n")),
              HasSubstr("gateway.listen: "));
  EXPECT_THAT(ErrorOf("role: proxy\n"), HasSubstr("'proxy' is not node or gateway"));
}

TEST_F(AgentConfigTest, AGatewaysLinks) {
  constexpr absl::string_view kIdentity = "identity: {svid: own, bundle: bundle.pem}\n";
  const auto config =
      Load(absl::StrCat(kGateway, kIdentity, "links: [{cluster: east}, {cluster: north}]\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->links, ElementsAre(AgentConfig::Link{"east"}, AgentConfig::Link{"north"}));
  EXPECT_TRUE(config->identity.configured());
  EXPECT_EQ(config->identity.svid, dir_.Path("own"));
  EXPECT_EQ(config->identity.bundle, dir_.Path("bundle.pem"));
  EXPECT_FALSE(Load(kGateway)->identity.configured());
  AgentConfig wanted = *config;
  wanted.links.pop_back();
  wanted.identity.svid = "elsewhere";
  EXPECT_THAT(RestartOnlyDifferences(*config, wanted), IsEmpty());
  const auto error = [&](absl::string_view more) {
    return std::string(Load(absl::StrCat(kGateway, more)).status().message());
  };
  EXPECT_THAT(error("links: [{cluster: east}]\n"), HasSubstr("links: need an identity"));
  EXPECT_THAT(error(absl::StrCat(kIdentity, "links: [{cluster: west}]\n")),
              HasSubstr("links[0].cluster: 'west' is this gateway's own cluster"));
  EXPECT_THAT(error(absl::StrCat(kIdentity, "links: [{cluster: a}, {cluster: a}]\n")),
              HasSubstr("links[1].cluster: 'a' is there twice"));
  EXPECT_THAT(error(absl::StrCat(kIdentity, "links: [{cluster: a.b}]\n")),
              HasSubstr("links[0].cluster: "));
  EXPECT_THAT(error(absl::StrCat(kIdentity, "links: [{to: a}]\n")), HasSubstr("links[0]"));
  EXPECT_THAT(error("identity: {svid: own}\n"), HasSubstr("identity.bundle"));
  EXPECT_THAT(error("identity: {bundle: b}\n"), HasSubstr("identity.svid"));
  EXPECT_THAT(error("deadlines: {ping: 0s}\n"), HasSubstr("deadlines.ping"));
}

TEST_F(AgentConfigTest, TheCommandLinesRoleIsTheOne) {
  const std::string path = dir_.Write("agent.yaml", kGateway);
  EXPECT_FALSE(LoadAgentConfig(path, Role::kNode).ok());  // no identity
  const std::string node = dir_.Write("node.yaml", "cluster: a\nnode: b\ndirectory: c\n");
  const auto config = LoadAgentConfig(node, Role::kGateway);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->role, Role::kGateway);
  AgentConfig wanted = *config;
  wanted.role = Role::kNode;
  EXPECT_THAT(RestartOnlyDifferences(*config, wanted), IsEmpty());
  AgentConfig running = *Load(kGateway);
  wanted = running;
  wanted.role = Role::kNode;
  wanted.gateway.listen.port = 1;
  wanted.limits.connections = 1;
  EXPECT_THAT(RestartOnlyDifferences(running, wanted), ElementsAre("role", "gateway.listen"));
}

}  // namespace
}  // namespace tombolo::source
