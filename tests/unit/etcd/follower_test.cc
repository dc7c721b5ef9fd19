// SPDX-License-Identifier: Apache-2.0
#include "etcd/follower.h"

#include <sys/socket.h>

#include <utility>

#include "follower_case.h"
#include "testing/loopback_listener.h"

namespace tombolo::etcd {
namespace {

using std::chrono::seconds;

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

TEST_F(FollowerTest, ReadsWhatItHasLeftOutWhenThereIsRoom) {
  bounds_ = {.max_of_writer = 4000,
             .writer_of = [](absl::string_view key) { return std::string(key.substr(0, 1)); }};
  Start(1);
  const std::string value(900, 'x');
  for (int i = 0; i < 6; ++i) Set(absl::StrCat("a", i), value);
  Set("b", value);
  Follow();
  ExpectInSync();
  const auto has = [&](const std::string& key, const std::string& wanted) {
    const Contents contents = sum_.contents();
    const auto found = contents.find(key);
    return found != contents.end() && found->second == wanted;
  };
  EXPECT_TRUE(Eventually([&] { return has("a0", value) && has("a5", kTooMuchOfWriter); }));
  for (int i = 0; i < 4; ++i) Unset(absl::StrCat("a", i));
  EXPECT_TRUE(Eventually([&] { return sum_.contents() == expected_; }));
  Set("a5", "new");
  EXPECT_TRUE(Eventually([&] { return sum_.contents() == expected_; }));
  EXPECT_EQ(state().listings, 1) << "of all";
}

TEST_F(FollowerTest, TellsAgainWhatSomebodyWants) {
  std::mutex mutex;
  std::vector<std::string> wanted;
  tell_again_ = [&] {
    const std::lock_guard lock(mutex);
    return std::exchange(wanted, {});
  };
  Start(1);
  Set("a/1", "1");
  Set("b/1", "1");
  Follow();
  ExpectInSync();
  ExpectSame();
  {
    const std::lock_guard lock(mutex);
    wanted = {"a/", "none/"};
  }
  EXPECT_TRUE(Eventually([&] { return sum_.superfluous() == 1; })) << "a/1, and nothing else";
  follower_.reset();
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
