// SPDX-License-Identifier: Apache-2.0
#include "etcd/auth.h"

#include <utility>

#include "etcd/follower.h"
#include "etcd_case.h"

namespace tombolo::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::EtcdCluster;
using ::testing::HasSubstr;

// Passwords that are quick to check, and tokens that last a second.
class AuthTest : public EtcdCase {
 protected:
  void SetUp() override {
    TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready());
    cluster_ = EtcdCluster::Start(
        {.members = members_, .flags = {"--bcrypt-cost=4", "--auth-token-ttl=1"}});
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
    Client anybody(To(cluster_->endpoints()));
    ASSERT_FALSE(*AuthenticationEnabled(anybody));
    // Twice each: finds what is there.
    for (int i = 0; i < 2; ++i) {
      Expect(EnsureUser(anybody, "root", "root's"));
      Expect(EnsureRole(anybody, "root", {}));
      Expect(EnsureRoleOf(anybody, "root", "root"));
      for (const std::string name : {"east", "west"}) {
        Expect(EnsureUser(anybody, name, name + "'s"));
        Expect(EnsureRole(anybody, name,
                          {{.key = "/d/", .end = PrefixEnd("/d/")},
                           {.write = true,
                            .key = "/d/clusters/" + name + "/",
                            .end = PrefixEnd("/d/clusters/" + name + "/")}}));
        Expect(EnsureRoleOf(anybody, name, name));
      }
    }
    Expect(EnableAuthentication(anybody));
    ASSERT_TRUE(*AuthenticationEnabled(anybody));
  }

  static void Expect(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; }

  Client::Options As(const std::string& name, const std::string& password) const {
    Client::Options options = To(cluster_->endpoints());
    options.user = Client::User{.name = name, .password = [password] { return password; }};
    options.known_key = "/d/";
    return options;
  }

  static absl::Status TryPut(Client& client, const std::string& key) {
    return client.Commit({.then = {Operation::Put(key, "v")}}).status();
  }

  int members_ = 1;
  std::unique_ptr<EtcdCluster> cluster_;
};

TEST_F(AuthTest, AClusterWritesOnlyWhatIsItsOwn) {
  Client west(As("west", "west's"));
  Expect(TryPut(west, "/d/clusters/west/cluster"));
  for (const char* key : {"/d/clusters/east/cluster", "/d/clusters/west", "/d/clusters/west0",
                          "/d/admin/clusters/west", "/d/admin/namespaces/shop", "/d/", "/e"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(TryPut(west, key))) << key;
    EXPECT_TRUE(absl::IsPermissionDenied(
        west.Commit({.then = {Operation::Delete(key, PrefixEnd(key))}}).status()))
        << key;
  }
  EXPECT_EQ(west.Range({.key = "/d/", .end = PrefixEnd("/d/")})->entries.size(), 1);
  EXPECT_TRUE(absl::IsPermissionDenied(west.Range({.key = "/e"}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(EnsureUser(west, "friend", "x")));
  EXPECT_TRUE(absl::IsPermissionDenied(
      EnsureRole(west, "west", {{.write = true, .key = "/", .end = "0"}})));
}

TEST_F(AuthTest, AnotherClustersLeaseIsNotEnded) {
  Client west(As("west", "west's"));
  Client east(As("east", "east's"));
  const auto lease = west.GrantLease(seconds(60));
  ASSERT_TRUE(lease.ok()) << lease.status();
  Put(west, "/d/clusters/west/gateways/g", "v", *lease);
  EXPECT_TRUE(absl::IsPermissionDenied(east.RevokeLease(*lease)));
  EXPECT_EQ(Get(east, "/d/clusters/west/gateways/g"), "v");
}

TEST_F(AuthTest, TokensThatExpireAreReplaced) {
  Client west(As("west", "west's"));
  Expect(TryPut(west, "/d/clusters/west/a"));
  // etcd looks after its tokens once a second.
  std::this_thread::sleep_for(milliseconds(3500));
  Expect(TryPut(west, "/d/clusters/west/a"));
}

TEST_F(AuthTest, TokensThatDiedWithTheirMemberAreReplaced) {
  Client west(As("west", "west's"));
  Expect(TryPut(west, "/d/clusters/west/a"));
  cluster_->Kill(0);
  cluster_->Begin(0);
  const absl::Status ready = cluster_->WaitUntilReady();
  ASSERT_TRUE(ready.ok()) << ready;
  Expect(west.Range({.key = "/d/"}).status());
  Expect(TryPut(west, "/d/clusters/west/a"));
}

// etcd lets who shows such a token wait until its log has grown to where the token was issued.
TEST_F(AuthTest, TokensFromBeforeABackupAreReplaced) {
  const auto restart = [this](void (EtcdCluster::*meanwhile)()) {
    cluster_->Kill(0);
    ((*cluster_).*meanwhile)();
    cluster_->Begin(0);
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
  };
  restart(&EtcdCluster::Save);
  Client root(As("root", "root's"));
  for (int i = 0; i < 50; ++i) Expect(TryPut(root, "/elsewhere"));
  Client west(As("west", "west's"));
  Expect(TryPut(west, "/d/clusters/west/a"));
  restart(&EtcdCluster::GoBack);
  Expect(TryPut(west, "/d/clusters/west/a"));
}

TEST_F(AuthTest, WhoIsNobodyIsToldSoAtOnce) {
  Client liar(As("west", "guessed"));
  const absl::Status refused = TryPut(liar, "/d/clusters/west/a");
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("user 'west': "));
  Client anybody(To(cluster_->endpoints()));
  EXPECT_TRUE(absl::IsUnauthenticated(TryPut(anybody, "/d/clusters/west/a")));
}

TEST_F(AuthTest, AUserWantsAuthenticationToBeOn) {
  Client::Options options = As("west", "west's");
  options.endpoints = To(Shared().endpoints()).endpoints;
  Client west(options);
  const absl::Status refused = TryPut(west, "/d/clusters/west/a");
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("authentication is not enabled"));
}

TEST_F(AuthTest, PasswordsAndPermissionsCanBeReplaced) {
  Client root(As("root", "root's"));
  Expect(SetPassword(root, "west", "new"));
  Client west(As("west", "new"));
  Expect(TryPut(west, "/d/clusters/west/a"));
  Expect(EnsureRole(root, "west", {{.key = "/d/", .end = PrefixEnd("/d/")}}));
  EXPECT_TRUE(absl::IsPermissionDenied(TryPut(west, "/d/clusters/west/a"))) << "the rest is gone";
  EXPECT_THAT(*RolesOf(root, "west"), ElementsAre("west"));
  Expect(RemoveUser(root, "west"));
  Expect(RemoveUser(root, "west"));
  Expect(RemoveRole(root, "west"));
  Expect(RemoveRole(root, "west"));
  EXPECT_TRUE(absl::IsNotFound(RolesOf(root, "west").status()));
}

TEST_F(AuthTest, AFollowerOutlivesItsToken) {
  Client west(As("west", "west's"));
  std::atomic<int> seen = 0;
  Follower follower({.client = As("east", "east's"), .prefix = "/d/", .probe = milliseconds(200)},
                    [&](const Follower::Update& update) { seen += update.changes.size(); }, {});
  Expect(TryPut(west, "/d/clusters/west/a"));
  ASSERT_TRUE(Eventually([&] { return seen == 1; }));
  std::this_thread::sleep_for(milliseconds(3500));
  EXPECT_TRUE(Eventually([&] { return follower.state().in_sync; })) << follower.state().error;
  Expect(TryPut(west, "/d/clusters/west/b"));
  EXPECT_TRUE(Eventually([&] { return seen == 2; }));
}

TEST_F(AuthTest, AFollowerThatMayNotReadSaysSo) {
  Client::Options options = As("west", "west's");
  std::atomic<int> updates = 0;
  Follower follower({.client = options, .prefix = "/e/"},
                    [&](const Follower::Update&) { ++updates; }, {});
  ASSERT_TRUE(Eventually([&] { return !follower.state().error.ok(); }));
  EXPECT_THAT(std::string(follower.state().error.message()), HasSubstr("permission denied"));
  EXPECT_FALSE(follower.state().in_sync);
  EXPECT_EQ(updates, 0);
}

}  // namespace
}  // namespace tombolo::etcd
