// SPDX-License-Identifier: Apache-2.0
// Members that fail, hang, or come back with another history.
#include <sys/socket.h>

#include <utility>

#include "follower_case.h"
#include "testing/loopback_listener.h"

namespace tombolo::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(FollowerTest, GoesOnAtAnotherMemberFromWhereItWas) {
  Start(3);
  Set("a", "0");
  Client::Options client = To(cluster_->endpoints());
  client.connect = client.answer = client.call = seconds(20);  // a dead one refuses at once
  Follow(client);
  ExpectSame();
  for (int round = 1; round <= 3; ++round) {
    ExpectInSync();
    const std::string watched = state().endpoint;
    int member = 0;
    while (cluster_->endpoint(member) != watched) ++member;
    cluster_->Kill(member);
    Set("a", absl::StrCat(round));
    Set(absl::StrCat("k", round), "v");
    ExpectSame();
    EXPECT_NE(state().endpoint, watched);
    cluster_->Begin(member);
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
  }
  EXPECT_EQ(state().listings, 1);
  EXPECT_GE(state().resumptions, 3);
}

TEST_F(FollowerTest, LeavesAMemberThatHangs) {
  Start(3);
  Follow();
  ExpectInSync();
  const std::string watched = state().endpoint;
  int member = 0;
  while (cluster_->endpoint(member) != watched) ++member;
  cluster_->Pause(member);
  Set("a", "1");
  ExpectSame();
  ExpectInSync();
  EXPECT_NE(state().endpoint, watched);
}

// The followers of a member that the majority has lost would never hear a thing.
TEST_F(FollowerTest, LeavesAMemberWithoutAMajority) {
  Start(3);
  Client::Options client = To({cluster_->endpoint(0)});
  client.answer = seconds(1);
  Follow(client);
  ExpectInSync();
  cluster_->Kill(1);
  cluster_->Kill(2);
  ExpectOutOfSync();
  cluster_->Begin(1);
  ExpectInSync();
  Set("a", "1");
  ExpectSame();
}

TEST_F(FollowerTest, ComesBackAfterAnOutage) {
  Start(1);
  Set("a", "1");
  Set("b", "2");
  Follow();
  ExpectSame();
  cluster_->Kill(0);
  ExpectOutOfSync();
  EXPECT_FALSE(state().error.ok());
  EXPECT_EQ(sum_.contents(), expected_) << "what was known stays";
  cluster_->Begin(0);
  Set("a", "3");
  Unset("b");
  Set("c", "4");
  ExpectSame();
  ExpectInSync();
  EXPECT_GE(state().listings, 2);
}

// etcd tells the progress of a watch every ten minutes: that is what is missing here.
TEST_F(FollowerTest, LeavesAWatchThatIsSilentForTooLong) {
  Start(1);
  Follower::Options options{.client = To({cluster_->endpoint(0), cluster_->endpoint(0)}),
                            .prefix = "/d/"};
  options.probe = options.silence = milliseconds(100);
  follower_ = std::make_unique<Follower>(
      std::move(options), [this](const Follower::Update& update) { sum_.Add(update); },
      Follower::OnState());
  Set("a", "1");
  EXPECT_TRUE(Eventually([&] { return state().resumptions >= 2; }));
  Set("a", "2");
  ExpectSame();
}

TEST_F(FollowerTest, NoticesABackup) {
  Start(1);
  Set("a", "1");
  Set("deleted", "back again");
  const Contents saved = expected_;
  cluster_->Kill(0);
  cluster_->Save();
  cluster_->Begin(0);
  ASSERT_TRUE(cluster_->WaitUntilReady().ok());
  Follow();
  ExpectSame();
  Unset("deleted");
  Set("new", "1");
  Set("a", "2");
  ExpectSame();
  ExpectInSync();
  const std::int64_t revision = state().revision;
  cluster_->Kill(0);
  cluster_->GoBack();
  cluster_->Begin(0);
  expected_ = saved;
  ExpectSame();
  EXPECT_LT(state().revision, revision);
  Set("a", "3");
  ExpectSame();
}

// As if it were put in place behind the back of a watch that goes on at another member.
TEST_F(FollowerTest, NoticesABackupWithoutAnOutage) {
  for (const int writes_after : {0, 20}) {
    Start(1);
    sum_.Clear();
    expected_.clear();
    Set("a", "1");
    Set("deleted", "back again");
    const Contents saved = expected_;
    cluster_->Kill(0);
    cluster_->Save();
    cluster_->Begin(0);
    ASSERT_TRUE(cluster_->WaitUntilReady().ok());
    auto silent = std::make_unique<testing::LoopbackListener>();
    Client::Options client =
        To({cluster_->endpoint(0), absl::StrCat("http://127.0.0.1:", silent->port()),
            cluster_->endpoint(0)});
    client.connect = client.call = seconds(60);
    Follow(client);
    ExpectSame();
    ExpectInSync();
    Set("b", "1");
    Unset("deleted");
    ExpectSame();
    cluster_->Kill(0);
    const Fd asked = silent->Accept();  // it tries to go on there, and waits
    cluster_->GoBack();
    cluster_->Begin(0);
    expected_ = saved;
    for (int i = 0; i < writes_after; ++i) Put(*writer_, "/elsewhere", absl::StrCat(i));
    ASSERT_TRUE(cluster_->WaitUntilReady().ok());
    silent.reset();
    shutdown(asked.get(), SHUT_RDWR);
    ExpectSame();
    ExpectInSync();
    EXPECT_EQ(state().listings, 2) << writes_after;
    follower_.reset();
  }
}

TEST_F(FollowerTest, NoticesABackupUnderAnotherId) {
  Start(1);
  Set("a", "1");
  Follow();
  ExpectSame();
  ExpectInSync();
  cluster_->Kill(0);
  cluster_->BeginAnother();
  writer_ = std::make_unique<Client>(To(cluster_->endpoints()));
  expected_.clear();
  Set("b", "2");
  ExpectSame();
  ExpectInSync();
}

TEST_F(FollowerTest, WaitsForAnEtcdThatIsNotThereYet) {
  Follow(To({"http://127.0.0.1:1"}));
  ExpectOutOfSync();
  EXPECT_TRUE(Eventually([&] { return absl::IsUnavailable(state().error); })) << state().error;
  EXPECT_EQ(sum_.updates(), 0);
  follower_.reset();  // ends although nothing answers
}

}  // namespace
}  // namespace tombolo::etcd
