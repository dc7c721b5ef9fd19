// SPDX-License-Identifier: Apache-2.0
#include "core/acks.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../ledger/faulty_store.h"
#include "store/sqlite_store.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

SpiffeId Node(const std::string& name) { return *SpiffeId::ForNode("test.example", "east", name); }

class AcksTest : public ::testing::Test {
 protected:
  std::map<std::string, std::int64_t> Stored() const { return *ReadAcks(*sqlite_); }
  std::unique_ptr<Acks> Start(std::size_t agents = 100) {
    return std::make_unique<Acks>(store_,
                                  Acks::Options{.interval = milliseconds(10), .agents = agents});
  }
  // Waits until the store has been written `commits` times.
  void AwaitCommits(int commits) const {
    for (int i = 0; i < 500 && commits_ < commits; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_EQ(commits_, commits);
  }

  testing::TemporaryDirectory directory_;
  std::shared_ptr<Store> sqlite_ = *SqliteStore::Open({.path = directory_ / "ca.db"});
  std::shared_ptr<FaultyStore> store_ = std::make_shared<FaultyStore>(sqlite_);
  std::atomic<int> commits_ = 0;

  void SetUp() override {
    store_->SetOnCommit([this](Store& store, const Transaction& transaction) {
      auto revision = store.Commit(transaction);
      ++commits_;
      return revision;
    });
  }
};

TEST_F(AcksTest, WritesWhatHasChangedAndNothingElse) {
  auto acks = Start();
  acks->Note(Node("n1"), 5);
  AwaitCommits(1);
  acks->Note(Node("n1"), 5);
  std::this_thread::sleep_for(milliseconds(50));
  AwaitCommits(1);
  acks->Note(Node("n1"), 6);
  AwaitCommits(2);
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 6)));
}

TEST_F(AcksTest, WritesManyAtOnceAndTheLastWhenItEnds) {
  {
    auto acks = std::make_unique<Acks>(
        store_, Acks::Options{.interval = std::chrono::hours(1), .agents = 10000});
    for (int i = 0; i < 2500; ++i) acks->Note(Node("n" + std::to_string(i)), 7);
  }
  EXPECT_THAT(Stored(), SizeIs(2500));
  EXPECT_EQ(commits_, 3);
}

TEST_F(AcksTest, OnlyNodesAndOnlySoMany) {
  {
    auto acks = Start(2);
    acks->Note(*SpiffeId::Parse("spiffe://test.example/cluster/east/ns/a/sa/b"), 1);
    acks->Note(*SpiffeId::Parse("spiffe://test.example/ca"), 1);
    for (const char* name : {"n1", "n2", "n3"}) acks->Note(Node(name), 1);
  }
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 1), Pair("east/n2", 1)));
}

TEST_F(AcksTest, WhatIsSaidLastCounts) {
  { Start()->Note(Node("n1"), 9); }
  { Start()->Note(Node("n1"), 8); }
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 8))) << "the store was restored, perhaps";
  {
    const auto acks = Start();
    acks->Note(Node("n1"), 7);
    acks->Note(Node("n1"), 6);
    acks->Note(Node("n1"), 8);
  }
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 8)));
}

TEST_F(AcksTest, WhatAnotherReplicaWroteMeanwhileIsMended) {
  const Acks::Options options{.interval = milliseconds(5), .forget = milliseconds(5)};
  Acks acks(store_, options);
  acks.Note(Node("n1"), 9);
  AwaitCommits(1);
  Transaction other;
  other.puts.push_back({"ack/east/n1", "8"});
  ASSERT_TRUE(sqlite_->Commit(other).ok());
  for (int i = 0; i < 500 && Stored()["east/n1"] != 9; ++i) {
    acks.Note(Node("n1"), 9);
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 9)));
}

TEST_F(AcksTest, AFailingStoreLosesNothing) {
  std::atomic<bool> failing = true;
  store_->SetOnCommit([&](Store& store, const Transaction& transaction) {
    if (failing) return absl::StatusOr<std::int64_t>(absl::UnavailableError("away"));
    return store.Commit(transaction);
  });
  auto acks = Start();
  acks->Note(Node("n1"), 5);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_THAT(Stored(), IsEmpty());
  failing = false;
  acks.reset();
  EXPECT_THAT(Stored(), ElementsAre(Pair("east/n1", 5)));
}

}  // namespace
}  // namespace tombolo::ca
