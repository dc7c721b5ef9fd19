// SPDX-License-Identifier: Apache-2.0
// A rotation of the root, by the program itself.
#include <chrono>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_command_case.h"
#include "ledger/ledger.h"
#include "store/sqlite_store.h"
#include "tls/serial.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using RootCommandTest = AuthorityCommandCase;

TEST_F(RootCommandTest, RotatesTheRoot) {
  Good("init");
  Good("cluster add east");
  EXPECT_THAT(Bad("root activate"), HasSubstr("no root is prepared"));
  Good("root prepare");
  EXPECT_THAT(Bad("root prepare"), HasSubstr("one rotation at a time"));
  Good("root prepare --undo");
  Good("root prepare");
  EXPECT_THAT(Good("root status"), HasSubstr("prepared")) << "with the authorities of both";
  EXPECT_THAT(Good("root status --json"), Not(HasSubstr(R"("authorities":0)")));
  EXPECT_THAT(Good("root activate --dry-run"), HasSubstr("nothing would break"));
  Good("cluster add west");
  Good("root activate");
  Good("cluster add north");
  Good("root activate --undo");
  Good("root activate");
  EXPECT_THAT(Bad("root revoke"), HasSubstr("only a tainted root can be revoked"));
  Good("root taint");
  EXPECT_THAT(Good("root status --json"), HasSubstr(R"("state":"tainted")"));
  Good("root revoke");
  EXPECT_THAT(Good("root status"), Not(HasSubstr("tainted")));
  for (const char* cluster : {"east", "west", "north"}) {
    const std::string id = std::string("spiffe://test.example/cluster/") + cluster + "/node/n1";
    Good("issue --spiffe-id " + id + " --out out");
  }
  EXPECT_EQ(Run("ls keys | grep -c root-").output, "3\n") << "undone is not forgotten";
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

TEST_F(RootCommandTest, ClustersAreAddedWhileARotationsOtherKeyIsAway) {
  Good("init");
  Good("root prepare");
  const std::string keys = "ls keys | wc -l";
  const std::string before = Run(keys).output;
  Run("mkdir away && for k in keys/root-*.key; do mv $k away; done");
  EXPECT_THAT(Bad("cluster add east"), HasSubstr("root-"));
  EXPECT_EQ(Run(keys + "; mv away/* keys").output, "2\n") << "no stray key";
  EXPECT_EQ(Run(keys).output, before);
  EXPECT_THAT(Good("cluster list"), Not(HasSubstr("east")));
  // The prepared one is the younger.
  Run("mv $(ls -t keys/root-*.key | head -1) away");
  EXPECT_THAT(Good("cluster add east"), HasSubstr("the rotation waits: "));
  EXPECT_THAT(Bad("root activate"), HasSubstr("no authority yet of 'east'"));
  Run("mv away/* keys");
  Good("cluster add east");
  Good("root activate");
  Good("root taint");
  Good("cluster add west");
  EXPECT_THAT(Good("root taint --undo"), HasSubstr("undone"));
  EXPECT_THAT(Bad("root activate --undo"), HasSubstr("no authority yet of 'west'"));
  Good("cluster add west");
  Good("root activate --undo");
}

TEST_F(RootCommandTest, RevokingARootWaitsForWhoeverNeedsIt) {
  Good("init");
  Good("cluster add east");
  const std::string node = "spiffe://test.example/cluster/east/node/n1";
  Good("issue --spiffe-id " + node + " --out out");
  Good("root prepare");
  EXPECT_THAT(Bad("root activate"),
              HasSubstr("1 agent does not hold the newest trust bundle: east/n1 (--force"));
  EXPECT_THAT(Good("root activate --force"), HasSubstr("did not wait"));
  Good("root taint");
  EXPECT_THAT(Bad("root revoke"), HasSubstr("1 identity depends on certificates"));
  Good("issue --spiffe-id " + node + " --out out");
  EXPECT_THAT(Good("root revoke --dry-run"), Not(HasSubstr("identity")));
}

// A node that has asked for the bundle once, and was given something some hours ago, for an hour.
class GoneNodeTest : public AuthorityCommandCase {
 protected:
  void SetUp() override {
    Good("init");
    Good("cluster add east");
    Good("root prepare");
  }
  void Seen(const std::string& node, std::chrono::hours ago) const {
    auto store = *SqliteStore::Open({.path = directory_ / "ca.db"});
    ASSERT_TRUE(store->Commit({.puts = {{"ack/east/" + node, "1"}}}).ok());
    const WallTime then = std::chrono::system_clock::now() - ago;
    const auto ledger = *Ledger::Open(std::move(store), {});
    ASSERT_TRUE(Ledger::Await([&](Ledger::Done done) {
                  ledger->Issue({.serial = tls::Serial::Random().hex(),
                                 .subject = "spiffe://test.example/cluster/east/node/" + node,
                                 .not_before = then,
                                 .not_after = then + std::chrono::hours(1),
                                 .issuer_key = "ab",
                                 .node = "east/" + node},
                                std::nullopt, "test", std::move(done));
                }).ok());
  }
};

TEST_F(GoneNodeTest, IsForgotten) {
  Seen("n1", std::chrono::hours(2));
  EXPECT_THAT(Bad("root activate"), HasSubstr("east/n1 (--force goes on all the same; 'root forg"));
  EXPECT_THAT(Bad("root forget n1"), HasSubstr("cluster/node"));
  EXPECT_THAT(Good("root forget east/n1"), HasSubstr("forgot east/n1"));
  EXPECT_THAT(Bad("root forget east/n1"), HasSubstr("nothing is known of a node east/n1"));
  EXPECT_THAT(Good("audit show"), HasSubstr("node forgotten"));
  Good("root activate");
}

TEST_F(GoneNodeTest, IsNotWaitedForWhenItHasExpired) {
  Seen("n1", std::chrono::hours(25));
  EXPECT_THAT(Good("root status"), HasSubstr("1 node is not waited for"));
  EXPECT_THAT(Good("root status --json"), HasSubstr(R"("expired_agents":["east/n1"])"));
  EXPECT_THAT(Good("root activate --dry-run"), HasSubstr("nothing would break"));
  EXPECT_THAT(Good("root activate"), HasSubstr("east/n1"));
  Good("root taint");
  EXPECT_THAT(Good("root revoke"), HasSubstr("1 node is not waited for"));
  EXPECT_THAT(Good("audit show"), HasSubstr("node forgotten"));
  EXPECT_THAT(Good("root status --json"), HasSubstr(R"("expired_agents":[])"));
  EXPECT_THAT(Bad("root forget east/n1"), HasSubstr("nothing is known"));
}

TEST_F(GoneNodeTest, IsForgottenBeforeARotation) {
  Good("root prepare --undo");
  Seen("n1", std::chrono::hours(25));
  Seen("n2", std::chrono::hours(2));
  EXPECT_THAT(Good("root prepare --dry-run"), HasSubstr("1 node is not waited for"));
  EXPECT_THAT(Good("root prepare"), HasSubstr("east/n1"));
  EXPECT_THAT(Bad("root forget east/n1"), HasSubstr("nothing is known"));
  EXPECT_THAT(Bad("root activate"), HasSubstr("east/n2 (--force")) << "which has not expired";
}

TEST_F(GoneNodeTest, IsNotForgottenByAStoreThatFailsButTheRootIsRevoked) {
  Seen("n1", std::chrono::hours(25));
  Good("root activate");
  Good("root taint");
  const auto stuck =
      Run("python3 -c \"import sqlite3; c = sqlite3.connect('ca.db'); "
          "c.execute('CREATE TRIGGER stuck BEFORE DELETE ON entries "
          "BEGIN SELECT RAISE(ABORT, \\\"stuck\\\"); END'); c.commit()\"");
  ASSERT_EQ(stuck.status, 0) << stuck.output;
  const std::string output = Good("root revoke");
  EXPECT_THAT(output, HasSubstr("have left the trust bundle"));
  EXPECT_THAT(output, HasSubstr("warning: not all nodes that have expired are forgotten"));
  EXPECT_THAT(Good("root status"), Not(HasSubstr("tainted")));
}

}  // namespace
}  // namespace tombolo::ca
