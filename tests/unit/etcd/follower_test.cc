// SPDX-License-Identifier: Apache-2.0
#include "etcd/follower.h"

#include <sys/socket.h>

#include <mutex>
#include <utility>

#include "etcd_case.h"
#include "testing/loopback_listener.h"

namespace tombolo::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EtcdCluster;
using ::testing::HasSubstr;
using Contents = std::map<std::string, std::string>;

// What the updates of a follower add up to.
class Sum {
 public:
  void Clear() {
    const std::lock_guard lock(mutex_);
    contents_.clear();
  }
  void Add(const Follower::Update& update) {
    const std::lock_guard lock(mutex_);
    ++updates_;
    for (const auto& [key, value] : update.changes) {
      const auto old = contents_.find(key);
      const bool told =
          value ? old != contents_.end() && old->second == *value : old == contents_.end();
      if (told) ++superfluous_;
      if (value) {
        contents_[key] = *value;
      } else {
        contents_.erase(key);
      }
    }
  }
  Contents contents() const {
    const std::lock_guard lock(mutex_);
    return contents_;
  }
  int updates() const {
    const std::lock_guard lock(mutex_);
    return updates_;
  }
  int superfluous() const {
    const std::lock_guard lock(mutex_);
    return superfluous_;
  }

 private:
  mutable std::mutex mutex_;
  Contents contents_;
  int updates_ = 0;
  int superfluous_ = 0;
};

class FollowerTest : public EtcdCase {
 protected:
  void Start(int members) {
    cluster_ = EtcdCluster::Start({.members = members});
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
    writer_ = std::make_unique<Client>(To(cluster_->endpoints()));
  }
  void Follow(Client::Options client, std::size_t max_bytes = 1 << 30) {
    Follower::Options options{.client = std::move(client), .prefix = "/d/"};
    options.max_bytes = max_bytes;
    options.probe = milliseconds(200);
    options.max_delay = milliseconds(500);
    follower_ = std::make_unique<Follower>(
        std::move(options), [this](const Follower::Update& update) { sum_.Add(update); },
        Follower::OnState());
  }
  void Follow() {
    Client::Options client = To(cluster_->endpoints());
    client.answer = seconds(1);
    Follow(std::move(client));
  }
  void Set(const std::string& key, const std::string& value) {
    Put(*writer_, "/d/" + key, value);
    expected_[key] = value;
  }
  void Unset(const std::string& key) {
    Delete(*writer_, "/d/" + key);
    expected_.erase(key);
  }
  void ExpectSame() {
    EXPECT_TRUE(Eventually([&] { return sum_.contents() == expected_; }))
        << sum_.contents().size() << " keys, not " << expected_.size() << "; "
        << follower_->state().error;
    EXPECT_EQ(sum_.superfluous(), 0);
  }
  void ExpectInSync() {
    EXPECT_TRUE(Eventually([&] { return follower_->state().in_sync; })) << follower_->state().error;
  }
  void ExpectOutOfSync() {
    EXPECT_TRUE(Eventually([&] { return !follower_->state().in_sync; }));
  }
  Follower::State state() const { return follower_->state(); }

  std::unique_ptr<EtcdCluster> cluster_;
  std::unique_ptr<Client> writer_;
  Contents expected_;
  Sum sum_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(FollowerTest, TellsWhatIsThereAndWhatChanges) {
  Start(1);
  Set("a", "1");
  Set("b/c", "2");
  Put(*writer_, "/e", "another prefix");
  Follow();
  ExpectSame();
  ExpectInSync();
  Set("a", "3");
  Set("d", "");
  Unset("b/c");
  ExpectSame();
  Put(*writer_, "/d/a", "3");  // the same again
  Put(*writer_, "/c", "");
  Set("last", "1");
  ExpectSame();
  EXPECT_EQ(state().keys, 3);
  EXPECT_EQ(state().endpoint, cluster_->endpoint(0));
  EXPECT_TRUE(state().error.ok());
}

TEST_F(FollowerTest, TellsATransactionAtOnce) {
  Start(1);
  Follow();
  ExpectInSync();
  const int before = sum_.updates();
  ASSERT_TRUE(writer_
                  ->Commit({.then = {Operation::Put("/d/a", "1"), Operation::Put("/d/b", "2"),
                                     Operation::Put("/d/c", "3")}})
                  .ok());
  expected_ = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
  ExpectSame();
  EXPECT_EQ(sum_.updates(), before + 1);
}

TEST_F(FollowerTest, TellsChangesThatDoNotFitOneMessage) {
  Start(1);
  Follow();
  ExpectInSync();
  const int before = sum_.updates();
  // Of three revisions, each near to what etcd lets one request have, while nobody watches
  // closely: etcd splits what it tells.
  for (const char* key : {"a", "b", "c"}) Set(key, std::string(1'400'000, key[0]));
  ExpectSame();
  EXPECT_GT(sum_.updates(), before);
}

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

// While it tries to go on at a member that does not answer.
TEST_F(FollowerTest, ListsAgainWhatWasCompactedMeanwhile) {
  Start(3);
  Set("a", "1");
  Set("gone", "1");
  auto silent = std::make_unique<testing::LoopbackListener>();
  Client::Options client =
      To({cluster_->endpoint(0), absl::StrCat("http://127.0.0.1:", silent->port()),
          cluster_->endpoint(1), cluster_->endpoint(1)});
  client.connect = client.call = seconds(60);
  Follow(client);
  ExpectSame();
  ExpectInSync();
  cluster_->Kill(0);
  const Fd asked = silent->Accept();
  for (int i = 0; i < 10; ++i) Set("a", absl::StrCat(i));
  Unset("gone");
  absl::Status compacted;
  EXPECT_TRUE(Eventually([&] {
    const auto answer = writer_->Range({.key = "/"});
    compacted = answer.ok() ? writer_->Administer(
                                  "/v3/kv/compaction",
                                  absl::StrCat(R"({"revision":")", answer->revision, R"("})"))
                            : answer.status();
    return compacted.ok();
  })) << compacted;
  silent.reset();
  shutdown(asked.get(), SHUT_RDWR);
  ExpectSame();
  ExpectInSync();
  EXPECT_EQ(state().listings, 2);
}

// More than Watch::kMaxBatch has happened while it tries to go on at a member that does not answer:
// watching from the same revision again would never come to an end.
TEST_F(FollowerTest, ListsWhatIsTooMuchForAWatch) {
  Start(1);
  Set("a", "1");
  auto silent = std::make_unique<testing::LoopbackListener>();
  Client::Options client =
      To({cluster_->endpoint(0), absl::StrCat("http://127.0.0.1:", silent->port()),
          cluster_->endpoint(0)});
  client.connect = client.call = seconds(60);
  Follow(client);
  ExpectSame();
  ExpectInSync();
  cluster_->Kill(0);
  const Fd asked = silent->Accept();
  cluster_->Begin(0);
  ASSERT_TRUE(cluster_->WaitUntilReady().ok());
  constexpr std::size_t kValue = 1'400'000;
  for (std::size_t i = 0; i <= Watch::kMaxBatch / kValue; ++i) {
    Set("large", std::string(kValue, static_cast<char>('a' + i % 26)));
  }
  silent.reset();
  shutdown(asked.get(), SHUT_RDWR);
  EXPECT_TRUE(Eventually([&] { return sum_.contents() == expected_; }, seconds(120)));
  ExpectSame();
  ExpectInSync();
  EXPECT_EQ(state().listings, 2);
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

TEST_F(FollowerTest, MoreThanItsBoundChangesNothing) {
  Start(1);
  Set("a", "1");
  Follow(To(cluster_->endpoints()), 10'000);
  ExpectSame();
  const Contents before = expected_;
  Set("large", std::string(20'000, 'x'));
  EXPECT_TRUE(Eventually([&] { return absl::IsResourceExhausted(state().error); }))
      << state().error;
  EXPECT_EQ(sum_.contents(), before);
  Unset("large");
  Set("b", "2");
  ExpectSame();
  ExpectInSync();
}

TEST_F(FollowerTest, TellsItsState) {
  Start(1);
  std::mutex mutex;
  std::vector<bool> told;
  Follower follower(
      {.client = To(cluster_->endpoints()), .prefix = "/d/"}, [](const Follower::Update&) {},
      [&](const Follower::State& state) {
        const std::lock_guard lock(mutex);
        if (told.empty() || told.back() != state.in_sync) {
          told.push_back(state.in_sync);
        }
      });
  const auto so_far = [&] {
    const std::lock_guard lock(mutex);
    return told;
  };
  EXPECT_TRUE(Eventually([&] { return so_far() == std::vector<bool>{true}; }));
  cluster_->Kill(0);
  EXPECT_TRUE(Eventually([&] { return so_far() == std::vector<bool>{true, false}; }));
  cluster_->Begin(0);
  EXPECT_TRUE(Eventually([&] { return so_far() == std::vector<bool>{true, false, true}; }));
}

}  // namespace
}  // namespace tombolo::etcd
