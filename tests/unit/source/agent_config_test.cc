// SPDX-License-Identifier: Apache-2.0
#include "source/agent_config.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/source/agent_config_case.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(AgentConfigTest, TheSharedDirectoryIsInEtcd) {
  EXPECT_FALSE(Load(kRequired)->shared_directory);
  const auto config = Load(absl::StrCat(kRequired, R"(shared_directory:
  endpoints: [https://10.0.0.1:2379, https://etcd.example]
  prefix: /other/
  ca: etcd-ca.pem
  certificate: etcd.pem
  key: etcd.key
  user: east
  password: /run/etcd-password
  state: state
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  const AgentConfig::SharedDirectory& shared = *config->shared_directory;
  EXPECT_THAT(shared.endpoints, ElementsAre("https://10.0.0.1:2379", "https://etcd.example"));
  EXPECT_EQ(shared.prefix, "/other/");
  EXPECT_EQ(shared.ca, dir_.Path("etcd-ca.pem"));
  EXPECT_EQ(shared.key, dir_.Path("etcd.key"));
  EXPECT_EQ(shared.user, "east");
  EXPECT_EQ(shared.password, "/run/etcd-password");
  EXPECT_EQ(shared.state, dir_.Path("state"));
  const auto least =
      Load(absl::StrCat(kRequired, "shared_directory: {endpoints: [http://127.0.0.1:2379]}"));
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_EQ(least->shared_directory->prefix, "/tombolo-directory/");
}

TEST_F(AgentConfigTest, TheSharedDirectoryIsChecked) {
  const auto error = [&](absl::string_view section) {
    return ErrorOf(absl::StrCat("shared_directory: {", section, "}\n"));
  };
  const std::string etcd = "endpoints: [http://127.0.0.1:2379], ";
  EXPECT_THAT(error(""), HasSubstr("shared_directory.endpoints: has 0 valid URLs, not 1 to 16"));
  EXPECT_THAT(error("endpoints: [127.0.0.1:2379]"), HasSubstr("'127.0.0.1:2379' is not a URL"));
  EXPECT_THAT(error("endpoints: [https://e1]"), HasSubstr("shared_directory.ca: is missing"));
  EXPECT_THAT(error(etcd + "prefix: /a"), HasSubstr("'/a' is not a prefix"));
  EXPECT_THAT(error(etcd + "user: east"), HasSubstr("user: is there without password"));
  EXPECT_THAT(error(etcd + "key: k"), HasSubstr("key: is there without certificate"));
  EXPECT_THAT(error(etcd + "keys: k"), HasSubstr("shared_directory.keys: is not a known key"));
}

TEST_F(AgentConfigTest, OnlyFourKeysAreRequired) {
  const auto config = Load(kRequired);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cluster, "east");
  EXPECT_EQ(config->node, "east-1");
  EXPECT_EQ(config->instance, "default");
  EXPECT_EQ(config->directory, dir_.Path("directory.yaml"));
  EXPECT_EQ(config->identity.svids, dir_.Path("svids"));
  EXPECT_EQ(config->identity.bundle, "/etc/bundle.pem");
  EXPECT_EQ(config->tunnel.listen.ToString(), "0.0.0.0:15008");
  EXPECT_EQ(config->admin.listen->ToString(), "127.0.0.1:15020");
  EXPECT_EQ(config->admin.socket, "/run/tombolo/agent.sock");
  EXPECT_EQ(config->deadlines.endpoint_connect, std::chrono::seconds(3));

  const auto nothing = Load("log: {}\n");
  EXPECT_THAT(std::string(nothing.status().message()),
              testing::AllOf(HasSubstr("cluster: is missing"), HasSubstr("node: is missing"),
                             HasSubstr("directory: is missing"), HasSubstr("identity: is missing"),
                             testing::Not(HasSubstr("identity.svids"))));
}

// The example of docs/configuration.md is the defaults, so both must be equal.
TEST_F(AgentConfigTest, TheDocumentedExampleIsTheDefaults) {
  const auto config = Load(R"(
cluster: east
node: east-1
instance: default
directory: directory.yaml
identity:
  svids: svids
  bundle: /etc/bundle.pem
capture:
  cgroup: /
  port: 15001
  protected_ranges: []
  max_services: 65536
  max_workloads: 4096
  max_pending: 65536
  max_pending_per_workload: 8192
  max_allowed: 262144
tunnel:
  listen: 0.0.0.0:15008
admin:
  socket: /run/tombolo/agent.sock
  listen: 127.0.0.1:15020
threads: 0
relay: auto
splice: auto
deadlines:
  handshake: 5s
  dial: 5s
  dial_delay: 250ms
  connect: 10s
  endpoint_connect: 3s
  idle_tunnel: 60s
  ping: 3s
  drain: 30s
wan:
  congestion_control: auto
  max_segment: 1220
limits:
  connections_per_workload: 20000
  tunnels_per_peer: 20000
  handshakes: 4096
  handshakes_per_address: 1024
log:
  level: info
  format: text
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, *Load(kRequired));
}

TEST_F(AgentConfigTest, EveryValueCanBeChanged) {
  const auto config = Load(absl::StrCat(kRequired, R"(
instance: two
capture: {cgroup: /a, port: 1, protected_ranges: [10.0.0.0/8, "fd00::/8"], max_services: 2,
          max_workloads: 3, max_pending: 4, max_pending_per_workload: 4}
tunnel: {listen: "[::]:5"}
admin: {socket: s.sock, listen: ""}
threads: 6
deadlines: {handshake: 7ms, dial: 8s, dial_delay: 10ms, connect: 9m, endpoint_connect: 6s,
            idle_tunnel: 0s, ping: 0s, drain: 0s}
wan: {congestion_control: cubic, max_segment: 0}
limits: {connections_per_workload: 11, tunnels_per_peer: 12, handshakes: 13,
         handshakes_per_address: 14}
log: {level: debug, format: json}
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->capture.cgroup, "/a");
  EXPECT_EQ(config->capture.protected_ranges.size(), 2u);
  EXPECT_EQ(config->capture.max_pending_per_workload, 4u);
  EXPECT_EQ(config->tunnel.listen.ToString(), "[::]:5");
  EXPECT_EQ(config->admin.socket, dir_.Path("s.sock"));
  EXPECT_EQ(config->admin.listen, std::nullopt);
  EXPECT_EQ(config->threads, 6u);
  EXPECT_EQ(config->deadlines.endpoint_connect, std::chrono::seconds(6));
  EXPECT_EQ(config->deadlines.dial_delay, std::chrono::milliseconds(10));
  EXPECT_EQ(config->deadlines.ping, Duration::zero());
  EXPECT_EQ(config->deadlines.drain, Duration::zero());
  EXPECT_EQ(config->wan.congestion_control, "cubic");
  EXPECT_EQ(config->wan.max_segment, 0u);
  EXPECT_EQ(config->limits.connections_per_workload, 11u);
  EXPECT_EQ(config->limits.tunnels_per_peer, 12u);
  EXPECT_EQ(config->limits.handshakes, 13u);
  EXPECT_EQ(config->limits.handshakes_per_address, 14u);
  EXPECT_EQ(config->log.level, log::Level::kDebug);
  EXPECT_EQ(config->log.format, log::Format::kJson);
}

TEST_F(AgentConfigTest, EndpointConnectIsNoLongerThanDial) {
  const auto config = Load(absl::StrCat(kRequired, "deadlines: {dial: 2s}\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->deadlines.endpoint_connect, std::chrono::seconds(2));
  EXPECT_EQ(ErrorOf("deadlines: {dial: 2s, endpoint_connect: 2500ms}\n"),
            "agent.yaml:5: deadlines.endpoint_connect: 2.5s is longer than deadlines.dial, after "
            "which a dialer gives up: 2s");
}

TEST_F(AgentConfigTest, ErrorsSayWhere) {
  EXPECT_EQ(ErrorOf("capture: {prot: 1}\n"),
            "agent.yaml:5: capture.prot: is not a known key; did you mean 'port'?");
  EXPECT_EQ(ErrorOf("capture:\n  port: 70000\n"),
            "agent.yaml:6: capture.port: '70000' is not a port (1 to 65535)");
  EXPECT_EQ(ErrorOf("capture:\n  protected_ranges: [10.0.0.0/8, 10.0.0.1/8]\n"),
            "agent.yaml:6: capture.protected_ranges[1]: '10.0.0.1/8' has address bits set beyond "
            "its prefix length");
  EXPECT_THAT(ErrorOf("capture: {cgroup: /a/../b}\n"), HasSubstr("capture.cgroup: '/a/../b'"));
  EXPECT_THAT(ErrorOf("capture: {max_pending: 0}\n"), HasSubstr("a number from 1 to 16777216"));
  EXPECT_THAT(ErrorOf("instance: ../x\n"), HasSubstr("instance: '../x'"));
  EXPECT_THAT(ErrorOf("tunnel: {listen: 0.0.0.0:0}\n"), HasSubstr("has port 0"));
  EXPECT_THAT(ErrorOf("deadlines: {dial: 0s}\n"), HasSubstr("leaves no time"));
  EXPECT_THAT(ErrorOf("deadlines: {dial_delay: 0s}\n"), HasSubstr("deadlines.dial_delay: "));
  EXPECT_THAT(ErrorOf("limits: {handshakes: 0}\n"), HasSubstr("limits.handshakes: '0'"));
  EXPECT_THAT(ErrorOf("log: {level: loud}\n"), HasSubstr("'loud' is not a level"));
  EXPECT_THAT(ErrorOf("node: again\n"), HasSubstr("agent.yaml:5: node: is there twice"));
  EXPECT_THAT(ErrorOf(absl::StrCat("admin: {socket: ", std::string(108, 'x'), "}\n")),
              HasSubstr("admin.socket"));
}

constexpr char kFromAuthority[] =
    "cluster: east\nnode: east-1\ndirectory: directory.yaml\nidentity:\n  authority:\n";

TEST_F(AgentConfigTest, IdentitiesMayComeFromAnAuthority) {
  const auto config = Load(absl::StrCat(kFromAuthority, R"(
    urls: ["https://10.0.0.1:8443", https://ca.example]
    trust_domain: tombolo.example
    trust: bootstrap.pem
    join_token: /run/token
    state: state
    keep_workloads: true
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->identity.authority);
  const AgentConfig::Authority& authority = *config->identity.authority;
  ASSERT_EQ(authority.urls.size(), 2u);
  EXPECT_EQ(authority.urls[0].ToString(), "https://10.0.0.1:8443");
  EXPECT_EQ(authority.urls[1].ToString(), "https://ca.example:443");
  EXPECT_EQ(authority.trust_domain, "tombolo.example");
  EXPECT_EQ(authority.trust, dir_.Path("bootstrap.pem"));
  EXPECT_EQ(authority.join_token, "/run/token");
  EXPECT_EQ(authority.service_account_token, "");
  EXPECT_EQ(authority.state, dir_.Path("state"));
  EXPECT_TRUE(authority.keep_workloads);
}

TEST_F(AgentConfigTest, AnAuthoritysMistakesAreNamed) {
  const auto error = [&](absl::string_view authority, absl::string_view more = "") {
    const auto config = Load(absl::StrCat(kFromAuthority, authority, more));
    return std::string(config.status().message());
  };
  constexpr char kGood[] =
      "    urls: [https://ca]\n    trust_domain: t\n    trust: a\n    join_token: b\n";
  EXPECT_EQ(error(kGood), "");
  EXPECT_THAT(error("    urls: [http://ca]\n"),
              testing::AllOf(
                  HasSubstr("agent.yaml:6: identity.authority.urls[0]: 'http://ca' does not begin"),
                  HasSubstr("identity.authority.trust_domain: is missing"),
                  HasSubstr("identity.authority.trust: is missing"),
                  HasSubstr("identity.authority: has neither join_token nor service_account")));
  EXPECT_THAT(error("    urls: []\n"), HasSubstr("identity.authority.urls: has no URL"));
  EXPECT_THAT(error(kGood, "    service_account_token: c\n"),
              HasSubstr("identity.authority.service_account_token: is there beside join_token"));
  EXPECT_THAT(error(kGood, "    tokens: c\n"), HasSubstr("identity.authority.tokens: is not a"));
  EXPECT_THAT(error(kGood, "    keep_workloads: true\n"),
              HasSubstr("identity.authority.keep_workloads: is true without a state"));
  EXPECT_THAT(error(kGood, "    keep_workloads: maybe\n"), HasSubstr("'maybe'"));
  EXPECT_THAT(error(kGood, "  svids: c\n"),
              testing::AllOf(HasSubstr("agent.yaml:10: identity.svids: '"),
                             HasSubstr("/c' is there beside identity.authority")));
  EXPECT_THAT(error("    trust_domain: T\n"), HasSubstr("'T' is not a trust domain"));
  std::string many = "    urls: [https://ca";
  for (int i = 0; i < 16; ++i) many += ", https://ca";
  EXPECT_THAT(error(many + "]\n"), HasSubstr("urls: has 17 URLs, more than 16"));
}

TEST_F(AgentConfigTest, AMissingFileNamesItsPath) {
  const auto config = LoadAgentConfig(dir_.Path("none.yaml"));
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(dir_.Path("none.yaml")));
}

TEST_F(AgentConfigTest, KnowsWhatNeedsARestart) {
  const AgentConfig running = *Load(kRequired);
  AgentConfig wanted = running;
  wanted.directory = "/other.yaml";
  wanted.identity.svids = "/other";
  wanted.capture.protected_ranges = {*net::Prefix::Parse("10.0.0.0/8")};
  wanted.deadlines.drain = {};
  wanted.limits.handshakes = 1;
  wanted.log.level = log::Level::kDebug;
  EXPECT_THAT(RestartOnlyDifferences(running, wanted), IsEmpty());
  wanted.node = "x";
  wanted.identity.authority = AgentConfig::Authority();
  wanted.shared_directory = AgentConfig::SharedDirectory();
  wanted.capture.port = 1;
  wanted.capture.max_pending = 1;
  wanted.tunnel.listen.port = 1;
  wanted.admin.listen.reset();
  wanted.threads = 9;
  EXPECT_THAT(RestartOnlyDifferences(running, wanted),
              ElementsAre("node", "shared_directory", "identity.authority", "capture.port",
                          "capture.max_pending", "tunnel.listen", "admin.listen", "threads"));
}

TEST_F(AgentConfigTest, SpliceIsOneOfItsWords) {
  for (const char* word : {"auto", "none", "send", "receive", "both"}) {
    const auto mode = ParseSpliceMode(word);
    ASSERT_TRUE(mode.ok()) << mode.status();
    EXPECT_EQ(Name(*mode), word);
  }
  EXPECT_EQ(ParseSpliceMode("yes").status().message(),
            "'yes' is not auto, none, send, receive or both");
}

}  // namespace
}  // namespace tombolo::source
