// SPDX-License-Identifier: Apache-2.0
#include "store_case.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "testing/skip.h"

namespace tombolo::ca {

using ::testing::HasSubstr;

void StoreCase::SetUp() {
  backend_ = GetParam()();
  TOMBOLO_SKIP_UNLESS_OK(backend_->Ready());
  auto store = backend_->Open();
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
}

namespace {

std::vector<std::string> Keys(const std::vector<Stored>& entries) {
  std::vector<std::string> keys;
  for (const Stored& entry : entries) keys.push_back(entry.key);
  return keys;
}

std::string Value(Store& store, const std::string& key) {
  const auto stored = store.Get(key);
  EXPECT_TRUE(stored.ok()) << stored.status();
  return stored.ok() && *stored ? (*stored)->value : "(none)";
}

// Adds one to the counter under `key` until it is `end`; how often it did itself.
int Count(Store& store, const std::string& key, int end) {
  for (int mine = 0;;) {
    const auto stored = store.Get(key);
    if (!stored.ok()) continue;
    int count = 0;
    if (*stored) (void)absl::SimpleAtoi((*stored)->value, &count);
    if (count >= end) return mine;
    const std::int64_t revision = *stored ? (*stored)->revision : 0;
    const Transaction next = {
        .conditions = {{key, revision}}, .puts = {{key, absl::StrCat(count + 1)}}, .deletes = {}};
    if (store.Commit(next).ok()) ++mine;
  }
}

TEST_P(StoreCase, RemembersWithRevisions) {
  ASSERT_FALSE(store().Get("a")->has_value());
  const auto first =
      store().Commit({.conditions = {}, .puts = {{"a", "1"}, {"b", "2"}}, .deletes = {}});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT(*first, 0);
  const auto second = store().Commit({.conditions = {}, .puts = {{"b", "3"}}, .deletes = {}});
  EXPECT_GT(*second, *first);
  EXPECT_EQ((*store().Get("a"))->revision, *first);
  EXPECT_EQ((*store().Get("b"))->revision, *second);
  EXPECT_EQ(Value(*Another(), "b"), "3");
  EXPECT_GE(*store().Revision(), *second);
}

TEST_P(StoreCase, KeepsAnyValue) {
  std::string value(70000, 'x');
  for (int i = 0; i < 256; ++i) value[static_cast<std::size_t>(i)] = static_cast<char>(i);
  ASSERT_TRUE(
      store().Commit({.conditions = {}, .puts = {{"a", value}, {"e", ""}}, .deletes = {}}).ok());
  EXPECT_EQ(Value(store(), "a"), value);
  EXPECT_EQ(Value(store(), "e"), "");
}

TEST_P(StoreCase, ConditionsDecide) {
  const std::int64_t first =
      *store().Commit({.conditions = {{"a", 0}}, .puts = {{"a", "1"}}, .deletes = {}});
  EXPECT_TRUE(absl::IsAborted(
      store().Commit({.conditions = {{"a", 0}}, .puts = {{"a", "2"}}, .deletes = {}}).status()));
  const auto second =
      store().Commit({.conditions = {{"a", first}, {"b", 0}}, .puts = {{"a", "2"}}, .deletes = {}});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(absl::IsAborted(
      store()
          .Commit({.conditions = {{"a", first}}, .puts = {{"a", "3"}}, .deletes = {}})
          .status()));
  EXPECT_EQ(Value(store(), "a"), "2");
  ASSERT_TRUE(
      store().Commit({.conditions = {{"a", *second}}, .puts = {}, .deletes = {"a", "none"}}).ok());
  EXPECT_FALSE(store().Get("a")->has_value());
  EXPECT_TRUE(store().Commit({.conditions = {{"a", 0}}, .puts = {{"a", "4"}}, .deletes = {}}).ok());
}

TEST_P(StoreCase, AFailedConditionChangesNothing) {
  ASSERT_TRUE(
      store().Commit({.conditions = {}, .puts = {{"a", "1"}, {"b", "1"}}, .deletes = {}}).ok());
  EXPECT_TRUE(absl::IsAborted(store()
                                  .Commit({.conditions = {{"c", 0}, {"a", 0}},
                                           .puts = {{"c", "2"}, {"a", "2"}},
                                           .deletes = {"b"}})
                                  .status()));
  EXPECT_EQ(Value(store(), "a"), "1");
  EXPECT_EQ(Value(store(), "b"), "1");
  EXPECT_FALSE(store().Get("c")->has_value());
}

TEST_P(StoreCase, ListsInOrderAndInPages) {
  Transaction fill;
  for (int i = 0; i < 25; ++i) fill.puts.push_back({absl::StrCat("n/", 10 + i * 3), "v"});
  fill.puts.push_back({"n", "v"});
  fill.puts.push_back({"n0", "v"});
  fill.puts.push_back({"m/9", "v"});
  ASSERT_TRUE(store().Commit(fill).ok());
  std::vector<std::string> all;
  std::string after;
  for (;;) {
    const auto page = store().List("n/", after, 10);
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->empty()) break;
    EXPECT_LE(page->size(), 10);
    for (const std::string& key : Keys(*page)) all.push_back(key);
    after = all.back();
  }
  EXPECT_EQ(all.size(), 25);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(Keys(*store().List("n/", "n/15", 2)), (std::vector<std::string>{"n/16", "n/19"}));
  EXPECT_TRUE(store().List("x/", "", 10)->empty());
  EXPECT_EQ(store().List("", "", 100)->size(), 28);
  EXPECT_EQ(Keys(*store().List("n/", "a", 1)), std::vector<std::string>{"n/10"});
  EXPECT_TRUE(store().List("n/", "o", 1)->empty());
}

TEST_P(StoreCase, RefusesWhatIsBeyondItsLimits) {
  const Store::Limits limits = store().limits();
  Transaction full;
  for (std::size_t i = 0; i < limits.operations; ++i) {
    full.puts.push_back({absl::StrCat("k/", i), "v"});
    full.conditions.push_back({absl::StrCat("k/", i), 0});
  }
  const auto committed = store().Commit(full);
  EXPECT_TRUE(committed.ok()) << committed.status();
  full.deletes.push_back("one-more");
  const auto beyond = store().Commit(full);
  EXPECT_TRUE(absl::IsInvalidArgument(beyond.status()));
  EXPECT_THAT(std::string(beyond.status().message()), HasSubstr("changes; the store takes"));
  const std::string half(limits.bytes / 2 - 8, 'x');
  EXPECT_TRUE(
      store().Commit({.conditions = {}, .puts = {{"a", half}, {"b", half}}, .deletes = {}}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      store()
          .Commit({.conditions = {}, .puts = {{"a", half}, {"b", half + half}}, .deletes = {}})
          .status()));
}

TEST_P(StoreCase, RefusesBadKeysAndDoubleChanges) {
  for (const std::string& key : {std::string(), std::string("a b"), std::string("a\n"),
                                 std::string("\xc3\xa4"), std::string(513, 'k')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        store().Commit({.conditions = {}, .puts = {{key, "v"}}, .deletes = {}}).status()));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      store().Commit({.conditions = {}, .puts = {{"a", "1"}}, .deletes = {"a"}}).status()));
}

TEST_P(StoreCase, OfConcurrentThreadsOneWins) {
  constexpr int kEnd = 100;
  std::atomic<int> sum = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    // Two of them share a handle.
    threads.emplace_back([&, i] {
      const std::unique_ptr<Store> own = i < 2 ? nullptr : Another();
      sum += Count(own != nullptr ? *own : store(), "counter", kEnd);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, kEnd);
  EXPECT_EQ(Value(store(), "counter"), absl::StrCat(kEnd));
}

TEST_P(StoreCase, OfConcurrentProcessesOneWins) {
  constexpr int kEnd = 100;
  store_.reset();  // not to be carried across a fork
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      _exit(Count(*Another(), "counter", kEnd));
    }
    children.push_back(child);
  }
  int sum = 0;
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    sum += WEXITSTATUS(status);
  }
  EXPECT_EQ(sum, kEnd);
  store_ = Another();
  EXPECT_EQ(Value(store(), "counter"), absl::StrCat(kEnd));
}

// Commits pairs for ever and says after each commit that it is there.
[[noreturn]] void WritePairs(Store& store, int acknowledge, int round) {
  for (int i = 0;; ++i) {
    const std::string name = absl::StrCat(round, ".", i);
    if (!store
             .Commit({.conditions = {},
                      .puts = {{"x/" + name, name}, {"y/" + name, name}},
                      .deletes = {}})
             .ok())
      continue;
    const std::string line = name + "\n";
    if (write(acknowledge, line.data(), line.size()) < 0) _exit(1);
  }
}

TEST_P(StoreCase, AKilledWriterLosesNothingAndLeavesNoHalves) {
  store_.reset();
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      WritePairs(*Another(), ends[1], round);
    }
    close(ends[1]);
    char first = 0;
    std::string names;
    if (read(ends[0], &first, 1) == 1) names += first;
    usleep(static_cast<useconds_t>(1000 + round * 373));
    kill(child, SIGKILL);
    char part[4096];
    for (ssize_t got; (got = read(ends[0], part, sizeof(part))) > 0;)
      names.append(part, static_cast<std::size_t>(got));
    waitpid(child, nullptr, 0);
    close(ends[0]);
    for (std::size_t at = 0, end; (end = names.find('\n', at)) != std::string::npos; at = end + 1) {
      acknowledged.push_back(names.substr(at, end - at));
    }
  }
  store_ = Another();
  EXPECT_GE(acknowledged.size(), 25);
  for (const std::string& name : acknowledged) EXPECT_EQ(Value(store(), "x/" + name), name);
  const auto x = store().List("x/", "", 100000);
  const auto y = store().List("y/", "", 100000);
  ASSERT_EQ(x->size(), y->size());
  for (std::size_t i = 0; i < x->size(); ++i) {
    EXPECT_EQ((*x)[i].value, (*y)[i].value);
    EXPECT_EQ((*x)[i].revision, (*y)[i].revision);
  }
}

}  // namespace
}  // namespace tombolo::ca
