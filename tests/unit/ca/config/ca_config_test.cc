// SPDX-License-Identifier: Apache-2.0
#include "config/ca_config.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/temporary_directory.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kLeast[] = "trust_domain: test.example\nstore: {sqlite: ca.db}\nkeys: keys\n";

class CaConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<CaConfig> Load(const std::string& text,
                                std::chrono::seconds shortest = kShortestTtl) const {
    std::ofstream(path_) << text;
    return LoadCaConfig(path_, shortest);
  }
  std::string Error(const std::string& text) const {
    const auto config = Load(text);
    EXPECT_TRUE(absl::IsInvalidArgument(config.status())) << config.status();
    return std::string(config.status().message());
  }

  testing::TemporaryDirectory directory_;
  const std::string path_ = directory_ / "ca.yaml";
};

TEST_F(CaConfigTest, HasDefaults) {
  const auto config = Load(kLeast);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->trust_domain, "test.example");
  EXPECT_EQ(config->store.sqlite, directory_ / "ca.db");
  EXPECT_EQ(config->keys, directory_ / "keys");
  EXPECT_EQ(config->serve.listen.ToString(), "0.0.0.0:15443");
  EXPECT_EQ(config->admin.listen->ToString(), "127.0.0.1:15021");
  EXPECT_EQ(config->ttl, std::chrono::hours(1));
  EXPECT_THAT(config->directories, IsEmpty());
}

TEST_F(CaConfigTest, ReadsEverything) {
  const auto config = Load(R"(trust_domain: test.example
store: {sqlite: /var/lib/ca.db}
keys: /etc/keys
serve: {listen: "[::1]:8443", names: [ca.example, 10.0.0.1]}
admin: {listen: ""}
ttl: 30m
directories: [a.yaml, /b.yaml]
threads: 4
limits: {requests: 10, connections: 20}
log: {level: debug, format: json}
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->store.sqlite, "/var/lib/ca.db");
  EXPECT_EQ(config->serve.listen.ToString(), "[::1]:8443");
  EXPECT_THAT(config->serve.names, ElementsAre("ca.example", "10.0.0.1"));
  EXPECT_FALSE(config->admin.listen);
  EXPECT_EQ(config->ttl, std::chrono::minutes(30));
  EXPECT_THAT(config->directories, ElementsAre(directory_ / "a.yaml", "/b.yaml"));
  EXPECT_EQ(config->threads, 4u);
  EXPECT_EQ(config->limits.requests, 10u);
  EXPECT_EQ(config->limits.connections, 20u);
  EXPECT_EQ(config->log.level, log::Level::kDebug);
}

TEST_F(CaConfigTest, SaysWhereAndWhatIsWrong) {
  const std::string least = kLeast;
  EXPECT_THAT(Error("keys: x\n"), HasSubstr("trust_domain: is missing"));
  EXPECT_THAT(Error("keys: x\n"), HasSubstr("store: is missing"));
  EXPECT_THAT(Error(least + "ttl: 4m\n"), HasSubstr(path_ + ":4: ttl: '4m' is outside 5m to 24h"));
  EXPECT_THAT(Error(least + "ttl: 25h\n"), HasSubstr("'25h' is longer than 24h"));
  EXPECT_THAT(Error(least + "serve:\n  names: [a_b]\n"),
              HasSubstr(":5: serve.names[0]: 'a_b' is neither a DNS name nor an IP address"));
  EXPECT_THAT(Error(least + "serve: {listen: x}\n"), HasSubstr("serve.listen: 'x'"));
  EXPECT_THAT(Error(least + "dirctories: []\n"), HasSubstr("did you mean 'directories'?"));
  EXPECT_THAT(Error(least + "limits: {requests: 0}\n"), HasSubstr("limits.requests: '0'"));
  EXPECT_THAT(Error("trust_domain: A\nstore: {sqlite: x}\nkeys: x\n"),
              HasSubstr("trust_domain: 'A' is not a trust domain"));
}

TEST_F(CaConfigTest, ReadsAStoreInEtcd) {
  const auto config = Load(R"(trust_domain: test.example
store:
  etcd:
    endpoints: ["https://e1.example:2379", "https://10.0.0.2"]
    prefix: /ca/test/
    ca: etcd-ca.pem
    certificate: /etc/etcd/client.pem
    key: client.key
keys: keys
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->store.sqlite, "");
  ASSERT_TRUE(config->store.etcd);
  EXPECT_THAT(config->store.etcd->endpoints,
              ElementsAre("https://e1.example:2379", "https://10.0.0.2"));
  EXPECT_EQ(config->store.etcd->prefix, "/ca/test/");
  EXPECT_EQ(config->store.etcd->ca, directory_ / "etcd-ca.pem");
  EXPECT_EQ(config->store.etcd->certificate, "/etc/etcd/client.pem");
  EXPECT_EQ(config->store.etcd->key, directory_ / "client.key");
  const auto local = Load(
      "trust_domain: test.example\nstore: {etcd: {endpoints: [\"http://127.0.0.1:2379\"]}}\n"
      "keys: x\n");
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(local->store.etcd->prefix, "/tombolo/");
}

TEST_F(CaConfigTest, SaysWhatIsWrongWithAStore) {
  const auto error = [&](const std::string& store) {
    return Error("trust_domain: test.example\nkeys: x\nstore:\n" + store);
  };
  EXPECT_THAT(error("  etc: x\n"), HasSubstr(":4: store.etc: is not a known key; did you mean"));
  EXPECT_THAT(error("  {}\n"), HasSubstr("store.sqlite: is missing"));
  EXPECT_THAT(error("  sqlite: ca.db\n  etcd: {endpoints: [\"http://[::1]\"]}\n"),
              HasSubstr(path_ + ":4: store.sqlite: cannot be beside 'etcd'"));
  EXPECT_THAT(error("  etcd:\n    endpoints: []\n"),
              HasSubstr(":5: store.etcd.endpoints: name 1 to 16 members, not 0"));
  EXPECT_THAT(error("  etcd: {prefix: /x/}\n"), HasSubstr("store.etcd.endpoints: name 1 to 16"));
  EXPECT_THAT(
      error("  etcd:\n    endpoints:\n      - http://127.0.0.1\n      - http://e1.example\n"),
      HasSubstr(":7: store.etcd.endpoints[1]: etcd endpoint 'http://e1.example': anybody"));
  EXPECT_THAT(error("  etcd:\n    endpoints: [\"https://e1.example\"]\n"),
              HasSubstr(":5: store.etcd.ca: is missing"));
  const std::string local = "  etcd:\n    endpoints: [\"http://127.0.0.1\"]\n";
  EXPECT_THAT(error(local + "    prefix: a b\n"), HasSubstr(":6: store.etcd.prefix: 'a b' is not"));
  EXPECT_THAT(error(local + "    ca: x\n    certificate: y\n"),
              HasSubstr(":7: store.etcd.certificate: needs 'key', too"));
  EXPECT_THAT(error(local + "    ca: x\n    key: y\n"),
              HasSubstr(":7: store.etcd.key: needs 'certificate', too"));
  EXPECT_THAT(error(local + "    certificate: x\n    key: y\n"),
              HasSubstr("store.etcd.ca: is missing"));
}

TEST_F(CaConfigTest, TestsMayHaveShorterLives) {
  const auto config = Load(std::string(kLeast) + "ttl: 2s\n", std::chrono::seconds(1));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ttl, std::chrono::seconds(2));
}

TEST_F(CaConfigTest, TheDefaultTextIsGood) {
  const auto config = Load(DefaultCaConfig("test.example"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->serve.names, ElementsAre("localhost", "127.0.0.1"));
}

}  // namespace
}  // namespace tombolo::ca
