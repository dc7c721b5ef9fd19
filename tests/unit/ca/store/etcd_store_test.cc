// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_store.h"

#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"
#include "store_case.h"
#include "testing/cutting_proxy.h"
#include "testing/etcd_cluster.h"
#include "testing/skip.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::CuttingProxy;
using testing::EtcdCluster;
using ::testing::HasSubstr;

// One member for all tests that do not harm it; each has a prefix of its own.
EtcdCluster& SharedCluster() {
  static const std::unique_ptr<EtcdCluster> cluster = EtcdCluster::Start({});
  static const absl::Status ready = cluster->WaitUntilReady();
  EXPECT_TRUE(ready.ok()) << ready;
  return *cluster;
}

std::string NewPrefix() {
  static int count = 0;
  return absl::StrCat("test/", ++count, "/");
}

class EtcdBackend : public Backend {
 public:
  absl::Status Ready() override { return EtcdCluster::Ready(); }
  absl::StatusOr<std::unique_ptr<Store>> Open() override {
    return EtcdStore::Open({.endpoints = SharedCluster().endpoints(), .prefix = prefix_});
  }

 private:
  const std::string prefix_ = NewPrefix();
};

INSTANTIATE_TEST_SUITE_P(Etcd, StoreCase, ::testing::Values([]() -> std::unique_ptr<Backend> {
                           return std::make_unique<EtcdBackend>();
                         }));

Transaction PutIf(const std::string& key, std::int64_t revision, const std::string& value) {
  return {.conditions = {{key, revision}}, .puts = {{key, value}}};
}

// Waits for a majority that looks for its leader.
absl::StatusOr<std::optional<Stored>> Find(Store& store, const std::string& key) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  for (;;) {
    auto stored = store.Get(key);
    if (!absl::IsUnavailable(stored.status())) return stored;
    if (std::chrono::steady_clock::now() > deadline) return stored;
  }
}

std::string Value(Store& store, const std::string& key) {
  const auto stored = Find(store, key);
  if (!stored.ok()) return std::string(stored.status().message());
  return *stored ? (*stored)->value : "(none)";
}

// Adds one to the counter, once: what is unknown is looked at, as the ledger does.
void AddOne(Store& store, const std::string& key) {
  const auto before = Find(store, key);
  ASSERT_TRUE(before.ok()) << before.status();
  int count = 0;
  ASSERT_TRUE(!*before || absl::SimpleAtoi((*before)->value, &count));
  const Transaction next = PutIf(key, *before ? (*before)->revision : 0, absl::StrCat(count + 1));
  const auto deadline = std::chrono::steady_clock::now() + seconds(15);
  absl::Status status = absl::UnavailableError("");
  while (absl::IsUnavailable(status) || absl::IsUnknown(status)) {
    status = store.Commit(next).status();
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << status;
  }
  // Aborted: one before it has been applied after all.
  ASSERT_TRUE(status.ok() || absl::IsAborted(status)) << status;
  ASSERT_EQ(Value(store, key), absl::StrCat(count + 1));
}

class EtcdStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready()); }

  std::unique_ptr<Store> OpenAt(std::vector<std::string> endpoints) const {
    return *EtcdStore::Open({.endpoints = std::move(endpoints),
                             .prefix = prefix_,
                             .connect = milliseconds(500),
                             .answer = milliseconds(1000),
                             .call = milliseconds(2500)});
  }

  const std::string prefix_ = NewPrefix();
};

TEST_F(EtcdStoreTest, PrefixesKeepStoresApart) {
  const auto store = OpenAt(SharedCluster().endpoints());
  const auto other =
      *EtcdStore::Open({.endpoints = SharedCluster().endpoints(), .prefix = prefix_ + "below/"});
  ASSERT_TRUE(store->Commit(PutIf("a", 0, "1")).ok());
  EXPECT_EQ(Value(*other, "a"), "(none)");
  ASSERT_TRUE(other->Commit(PutIf("a", 0, "2")).ok());
  EXPECT_EQ(Value(*store, "a"), "1");
  EXPECT_EQ(other->List("", "", 10)->size(), 1);
}

TEST_F(EtcdStoreTest, RevisionGrowsWithEveryCommit) {
  const auto store = OpenAt(SharedCluster().endpoints());
  const std::int64_t before = *store->Revision();
  EXPECT_EQ(*store->Revision(), before);
  const std::int64_t committed = *store->Commit(PutIf("a", 0, "1"));
  EXPECT_GT(committed, before);
  EXPECT_EQ(*store->Revision(), committed);
}

TEST_F(EtcdStoreTest, ListsValuesThatDoNotFitOneAnswer) {
  const auto store = OpenAt(SharedCluster().endpoints());
  const std::string large(700'000, 'v');
  for (int i = 10; i < 22; ++i) {
    ASSERT_TRUE(store->Commit(PutIf(absl::StrCat("l/", i), 0, large)).ok());
  }
  const auto all = store->List("l/", "", 100);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 12);
  EXPECT_EQ(all->back().key, "l/21");
  EXPECT_EQ(all->back().value, large);
}

TEST_F(EtcdStoreTest, KeepsItsConnection) {
  CuttingProxy proxy(SharedCluster().endpoint(0));
  const auto store = OpenAt({proxy.endpoint()});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(store->Revision().ok());
  EXPECT_EQ(proxy.connections(), 1);
}

TEST_F(EtcdStoreTest, ALostAnswerIsUnknownAndTheChangeIsThere) {
  CuttingProxy proxy(SharedCluster().endpoint(0));
  const auto store = OpenAt({proxy.endpoint()});
  proxy.Lose(CuttingProxy::Loss::kAnswer, 1);
  const absl::Status lost = store->Commit(PutIf("a", 0, "1")).status();
  EXPECT_TRUE(absl::IsUnknown(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr(proxy.endpoint()));
  EXPECT_EQ(Value(*store, "a"), "1");
  EXPECT_TRUE(absl::IsAborted(store->Commit(PutIf("a", 0, "1")).status()));
}

TEST_F(EtcdStoreTest, ALostRequestIsUnknownAndTheChangeIsNot) {
  CuttingProxy proxy(SharedCluster().endpoint(0));
  const auto store = OpenAt({proxy.endpoint()});
  proxy.Lose(CuttingProxy::Loss::kRequest, 1);
  const absl::Status lost = store->Commit(PutIf("a", 0, "1")).status();
  EXPECT_TRUE(absl::IsUnknown(lost)) << lost;
  EXPECT_EQ(Value(*store, "a"), "(none)");
  EXPECT_TRUE(store->Commit(PutIf("a", 0, "1")).ok());
}

TEST_F(EtcdStoreTest, SilenceIsUnknownInTime) {
  CuttingProxy proxy(SharedCluster().endpoint(0));
  const auto store = OpenAt({proxy.endpoint()});
  proxy.Lose(CuttingProxy::Loss::kSilence, 1);
  const auto begin = std::chrono::steady_clock::now();
  const absl::Status lost = store->Commit(PutIf("a", 0, "1")).status();
  EXPECT_TRUE(absl::IsUnknown(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr("no answer in time"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  EXPECT_EQ(Value(*store, "a"), "1");
}

TEST_F(EtcdStoreTest, TheLedgerFindsOutWhatBecameOfIt) {
  CuttingProxy proxy(SharedCluster().endpoint(0));
  const std::shared_ptr<Store> store = OpenAt({proxy.endpoint()});
  const auto ledger = *Ledger::Open(store, {});
  int notes = 0;
  for (const auto loss : {CuttingProxy::Loss::kAnswer, CuttingProxy::Loss::kRequest}) {
    for (int count = 1; count <= 3; ++count) {
      proxy.Lose(loss, count);
      const auto noted = Ledger::Await(
          [&](Ledger::Done done) { ledger->Note({.event = "noted"}, std::move(done)); });
      ASSERT_TRUE(noted.ok()) << noted.status();
      EXPECT_EQ(noted->sequence, ++notes);
    }
  }
  EXPECT_TRUE(Verify(*store, "")->intact());
  EXPECT_EQ(store->List(kAudit, "", 100)->size(), 6);
}

TEST_F(EtcdStoreTest, GoesToTheEndpointThatAnswers) {
  const std::string nobody = "http://127.0.0.1:1";
  const auto store = OpenAt({nobody, SharedCluster().endpoint(0)});
  EXPECT_TRUE(store->Commit(PutIf("a", 0, "1")).ok());
  const auto alone = OpenAt({nobody});
  const absl::Status away = alone->Commit(PutIf("a", 0, "1")).status();
  EXPECT_TRUE(absl::IsUnavailable(away)) << away;
  EXPECT_THAT(std::string(away.message()), HasSubstr("http://127.0.0.1:1: connect: "));
  EXPECT_TRUE(absl::IsUnavailable(alone->Get("a").status()));
}

TEST_F(EtcdStoreTest, AMemberThatCameBackIsFoundAgain) {
  const auto cluster = EtcdCluster::Start({});
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  const auto store = OpenAt(cluster->endpoints());
  AddOne(*store, "counter");
  cluster->Kill(0);
  EXPECT_TRUE(absl::IsUnavailable(store->Commit(PutIf("a", 0, "1")).status()));
  cluster->Begin(0);
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  AddOne(*store, "counter");
  EXPECT_EQ(Value(*store, "counter"), "2");
  EXPECT_EQ(Value(*store, "a"), "(none)");
}

TEST_F(EtcdStoreTest, DoesNotWriteToTwoClusters) {
  const auto cluster = EtcdCluster::Start({});
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  const auto store = OpenAt({cluster->endpoint(0), SharedCluster().endpoint(0)});
  ASSERT_TRUE(store->Commit(PutIf("a", 0, "1")).ok());
  cluster->Kill(0);
  const absl::Status refused = store->Commit(PutIf("a", 0, "2")).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("belongs to another etcd cluster"));
  EXPECT_EQ(Value(*OpenAt({SharedCluster().endpoint(0)}), "a"), "(none)");
}

TEST_F(EtcdStoreTest, GoesOnWhenAMemberDies) {
  const auto cluster = EtcdCluster::Start({.members = 3});
  const absl::Status ready = cluster->WaitUntilReady();
  ASSERT_TRUE(ready.ok()) << ready;
  const auto store = OpenAt(cluster->endpoints());
  for (int member = 0; member < 3; ++member) {  // one of them leads
    for (int i = 0; i < 20; ++i) {
      if (i == 10) cluster->Kill(member);
      ASSERT_NO_FATAL_FAILURE(AddOne(*store, "counter")) << "member " << member << ", round " << i;
    }
    cluster->Begin(member);
    ASSERT_TRUE(cluster->WaitUntilReady().ok());
  }
  EXPECT_EQ(Value(*store, "counter"), "60");
}

TEST_F(EtcdStoreTest, GoesOnWhenAMemberHangs) {
  const auto cluster = EtcdCluster::Start({.members = 3});
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  const auto store = OpenAt(cluster->endpoints());
  ASSERT_NO_FATAL_FAILURE(AddOne(*store, "counter"));
  cluster->Pause(0);
  for (int i = 0; i < 5; ++i) ASSERT_NO_FATAL_FAILURE(AddOne(*store, "counter"));
  EXPECT_EQ(Value(*store, "counter"), "6");
}

TEST_F(EtcdStoreTest, WithoutAMajorityItAnswersInTimeAndComesBack) {
  const auto cluster = EtcdCluster::Start({.members = 3});
  ASSERT_TRUE(cluster->WaitUntilReady().ok());
  const auto store = OpenAt(cluster->endpoints());
  ASSERT_NO_FATAL_FAILURE(AddOne(*store, "counter"));
  cluster->Kill(0);
  cluster->Kill(1);
  const auto in_time = [](const auto& call) {
    const auto begin = std::chrono::steady_clock::now();
    const absl::Status status = call();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(3000));
    return status;
  };
  const absl::Status commit = in_time([&] { return store->Commit(PutIf("a", 0, "1")).status(); });
  EXPECT_TRUE(absl::IsUnavailable(commit) || absl::IsUnknown(commit)) << commit;
  EXPECT_TRUE(absl::IsUnavailable(in_time([&] { return store->Get("a").status(); })));
  EXPECT_TRUE(absl::IsUnavailable(in_time([&] { return store->List("a", "", 9).status(); })));
  EXPECT_TRUE(absl::IsUnavailable(in_time([&] { return store->Revision().status(); })));
  cluster->Begin(0);
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  while (!store->Revision().ok()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  ASSERT_NO_FATAL_FAILURE(AddOne(*store, "counter"));
  EXPECT_EQ(Value(*store, "counter"), "2");
}

}  // namespace
}  // namespace tombolo::ca
