// SPDX-License-Identifier: Apache-2.0
#include "etcd/client.h"

#include <atomic>

#include "etcd/listing.h"
#include "etcd_case.h"

namespace tombolo::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EtcdCluster;
using ::testing::HasSubstr;

class ClientTest : public EtcdCase {
 protected:
  Client client_{To(Shared().endpoints())};
};

TEST_F(ClientTest, TheFirstOneBecomesWhatOnlyOneCanBe) {
  const auto claim = [&](const std::string& who) {
    return client_.Commit(
        {.compares = {{.key = prefix_ + "publisher", .target = Compare::Target::kCreateRevision}},
         .then = {Operation::Put(prefix_ + "publisher", who)},
         .otherwise = {Operation::Range(prefix_ + "publisher")}});
  };
  const auto first = claim("one");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->succeeded);
  const auto second = claim("two");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->succeeded);
  ASSERT_EQ(second->ranges.size(), 1);
  ASSERT_EQ(second->ranges[0].size(), 1);
  EXPECT_EQ(second->ranges[0][0].value, "one");
  EXPECT_EQ(second->ranges[0][0].create_revision, first->revision);
}

TEST_F(ClientTest, ComparesWhatAKeyIs) {
  Put(client_, prefix_ + "a", "1");
  Put(client_, prefix_ + "a", "2");
  const auto holds = [&](Compare compare) {
    const auto answer = client_.Commit({.compares = {compare}});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() && answer->succeeded;
  };
  using T = Compare::Target;
  using R = Compare::Result;
  EXPECT_TRUE(holds({.key = prefix_ + "a", .target = T::kVersion, .number = 2}));
  EXPECT_FALSE(holds({.key = prefix_ + "a", .target = T::kVersion, .number = 1}));
  EXPECT_TRUE(
      holds({.key = prefix_ + "a", .target = T::kVersion, .result = R::kGreater, .number = 1}));
  EXPECT_TRUE(
      holds({.key = prefix_ + "a", .target = T::kVersion, .result = R::kLess, .number = 3}));
  EXPECT_TRUE(holds({.key = prefix_ + "a", .target = T::kValue, .value = "2"}));
  EXPECT_TRUE(
      holds({.key = prefix_ + "a", .target = T::kValue, .result = R::kNotEqual, .value = "1"}));
  EXPECT_TRUE(holds({.key = prefix_ + "a", .target = T::kLease, .number = 0}));
}

TEST_F(ClientTest, KeysLiveWithTheirLease) {
  const auto lease = client_.GrantLease(seconds(60));
  ASSERT_TRUE(lease.ok()) << lease.status();
  Put(client_, prefix_ + "a", "1", *lease);
  EXPECT_EQ(client_.Range({.key = prefix_ + "a"})->entries[0].lease, *lease);
  const auto left = client_.KeepAlive(*lease);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(*left, seconds(60));
  EXPECT_TRUE(client_.RevokeLease(*lease).ok());
  EXPECT_EQ(Get(client_, prefix_ + "a"), "(none)");
  EXPECT_TRUE(absl::IsNotFound(client_.KeepAlive(*lease).status()));
  EXPECT_TRUE(client_.RevokeLease(*lease).ok()) << "has ended before";
  EXPECT_TRUE(absl::IsNotFound(
      client_.Commit({.then = {Operation::Put(prefix_ + "a", "1", *lease)}}).status()));
}

TEST_F(ClientTest, ALeaseThatNobodyKeepsEnds) {
  const auto lease = client_.GrantLease(milliseconds(200));  // at least a second
  ASSERT_TRUE(lease.ok()) << lease.status();
  Put(client_, prefix_ + "a", "1", *lease);
  EXPECT_TRUE(Eventually([&] { return Get(client_, prefix_ + "a") == "(none)"; }));
}

TEST_F(ClientTest, ListsFiftyThousandKeysOfOneMoment) {
  constexpr int kKeys = 50'000;
  constexpr int kAtOnce = 5'000;
  for (int i = 0; i < kKeys; i += kAtOnce) {
    Txn txn;
    for (int j = i; j < i + kAtOnce; ++j) {
      txn.then.push_back(Operation::Put(absl::StrCat(prefix_, 100'000 + j), std::string(100, 'v')));
    }
    ASSERT_TRUE(client_.Commit(txn).ok());
  }
  std::atomic<bool> stop = false;
  std::atomic<int> written = 0;
  std::thread writer([&] {
    Client other(To(Shared().endpoints()));
    for (int i = 0; !stop; i = (i + 7919) % kKeys) {
      Put(other, absl::StrCat(prefix_, 100'000 + i), "changed");
      ++written;
    }
  });
  EXPECT_TRUE(Eventually([&] { return written > 0; }));
  absl::StatusOr<RangeAnswer> all = absl::UnknownError("not yet");
  EXPECT_TRUE(Eventually([&] {  // until something was written meanwhile
    const int before = written;
    all = ListAll(client_, {.key = prefix_, .end = PrefixEnd(prefix_)}, 64 << 20);
    return written > before;
  }));
  stop = true;
  writer.join();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->entries.size(), kKeys);
  for (int i = 0; i < kKeys; ++i) {
    const KeyValue& entry = all->entries[static_cast<std::size_t>(i)];
    ASSERT_EQ(entry.key, absl::StrCat(prefix_, 100'000 + i));
    ASSERT_LE(entry.mod_revision, all->revision);
  }
  const auto bounded = ListAll(client_, {.key = prefix_, .end = PrefixEnd(prefix_)}, 1 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(bounded.status())) << bounded.status();
  const auto some =
      ListAll(client_, {.key = prefix_, .end = PrefixEnd(prefix_), .limit = 700}, 64 << 20);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->entries.size(), 700);
  EXPECT_TRUE(some->more);
}

TEST_F(ClientTest, CloseEndsACallThatIsUnderWay) {
  const auto cluster = EtcdCluster::Start({});
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  Client::Options options = To(cluster->endpoints());
  options.connect = options.answer = options.call = seconds(60);
  Client client(options);
  ASSERT_TRUE(client.Range({.key = "/"}).ok());
  cluster->Pause(0);
  std::atomic<bool> ended = false;
  std::thread asking([&] {
    EXPECT_FALSE(client.Range({.key = "/"}).ok());
    ended = true;
  });
  std::this_thread::sleep_for(milliseconds(100));  // most likely it is under way now
  EXPECT_FALSE(ended);
  client.Close();
  EXPECT_TRUE(Eventually([&] { return ended.load(); }, seconds(10)));
  asking.join();
  EXPECT_TRUE(absl::IsCancelled(client.Range({.key = "/"}).status()) ||
              !client.Range({.key = "/"}).ok());
}

}  // namespace
}  // namespace tombolo::etcd
