// SPDX-License-Identifier: Apache-2.0
// Replicas that are killed 200 times while they issue: what was answered is recorded, once.
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/issuance.h"
#include "core/join_token.h"
#include "crash_clients.h"
#include "ledger/ledger.h"
#include "serve_case.h"
#include "store/open.h"
#include "testing/etcd_cluster.h"
#include "testing/skip.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr int kKills = 200;

class CrashTest : public ServeCase {
 protected:
  explicit CrashTest(int replicas) : ServeCase(replicas), replica_count_(replicas) {}

  void Prepare(const std::string& yaml, const StoreConfig& config) {
    SetUpStore(yaml);
    auto store = OpenStore(config);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    ledger_ = *Ledger::Open(store_, {});
    for (int i = 0; i < replica_count_; ++i) Start(i);
    FetchRoots();
  }

  std::unique_ptr<CrashClients> StartClients() {
    std::ifstream file(directory_ / "roots.pem");
    const std::string roots{std::istreambuf_iterator<char>(file), {}};
    const auto trust = tls::ParseTrustBundle(roots, "test.example", "roots.pem");
    EXPECT_TRUE(trust.ok()) << trust.status();
    CrashClients::Options options{
        .ports = {},
        .context = *tls::HttpsContext::ForClient(
            *trust, *SpiffeId::Parse("spiffe://test.example/ca"), std::nullopt),
        .id = node_,
        .new_token = [this] { return NewToken(); }};
    for (int i = 0; i < replica_count_; ++i) options.ports.push_back(port(i));
    return std::make_unique<CrashClients>(std::move(options));
  }

  std::string NewToken() {
    const std::string text = NewJoinToken();
    const auto record = MakeTokenRecord(text, *SpiffeId::Parse(node_), "test.example",
                                        std::chrono::system_clock::now() + std::chrono::hours(1));
    const auto added = Ledger::Await(
        [&](Ledger::Done done) { ledger_->AddToken(*record, "test", std::move(done)); });
    EXPECT_TRUE(added.ok()) << added.status();
    return text;
  }

  // Kills replicas in turn, each some time after it has issued something, or while it starts, and
  // starts it again.
  void KillAll(const CrashClients& clients, const std::function<void(int kill)>& before) {
    std::minstd_rand random(20);
    for (int i = 0; i < kKills && !HasFailure(); ++i) {
      before(i);
      const int victim = i % replica_count_;
      const auto issued = [&] { return clients.acknowledged_by(static_cast<std::size_t>(victim)); };
      const bool while_starting = random() % 4 == 0;
      if (!while_starting) WaitUntil([&, begun = issued()] { return issued() > begun; });
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      Kill(victim);
      Begin(victim);
    }
  }

  static void WaitUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    EXPECT_TRUE(done()) << "nothing is issued any more";
  }

  // What the store has in the end, against what clients have heard.
  void CheckAll(const CrashClients& clients) {
    EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
    EXPECT_THAT(clients.strange(), IsEmpty());
    std::map<std::string, Certificate> recorded;  // by fingerprint
    const Reader reader(*store_);
    for (std::string after;;) {
      const auto page = reader.Certificates(after, 500);
      ASSERT_TRUE(page.ok()) << page.status();
      for (const Certificate& one : *page) recorded[one.certificate] = one;
      if (page->empty()) break;
      after = page->back().serial;
    }
    std::map<std::string, std::vector<std::string>> paid;  // serials, by the token's digest
    std::size_t issued = 0;
    CheckLog(reader, issued, paid);
    EXPECT_EQ(issued, recorded.size());
    std::set<std::string> tokens;
    for (const CrashClients::Acknowledged& one : clients.acknowledged()) {
      EXPECT_TRUE(tokens.insert(one.token).second) << "two clients were let in by one token";
      const auto found = recorded.find(*Fingerprint(one.leaf));
      ASSERT_TRUE(found != recorded.end()) << "was handed out, but is not recorded";
      const std::string digest = JoinTokenDigest(one.token);
      EXPECT_THAT(paid[digest], Contains(found->second.serial));
      EXPECT_EQ((*reader.FindToken(digest))->key, one.key);
    }
    EXPECT_EQ(tokens.size(), clients.tokens()) << "a client has lost a token's certificate";
    std::size_t repeated = 0;
    for (const auto& [token, serials] : paid) repeated += serials.size() - 1;
    std::cout << clients.acknowledged().size() << " certificates acknowledged, " << issued
              << " recorded, " << repeated << " of them without an answer, " << clients.refused()
              << " requests refused, " << clients.cut() << " not answered\n";
  }

  // Every issuance is in the log once, and one that a token pays for again says so.
  static void CheckLog(const Reader& reader, std::size_t& issued,
                       std::map<std::string, std::vector<std::string>>& paid) {
    std::set<std::string> serials;
    for (std::int64_t after = 0;;) {
      const auto page = reader.Entries(after, 500);
      ASSERT_TRUE(page.ok()) << page.status();
      for (const AuditEntry& entry : *page) {
        if (entry.event != "certificate issued") continue;
        ++issued;
        const std::string& serial = entry.details.at("serial");
        EXPECT_TRUE(serials.insert(serial).second) << serial << " was issued twice";
        const auto token = entry.details.find("token");
        if (token == entry.details.end()) continue;
        std::vector<std::string>& before = paid[token->second];
        const auto replaces = entry.details.find("replaces");
        EXPECT_EQ(replaces == entry.details.end() ? "" : replaces->second,
                  before.empty() ? "" : before.back());
        before.push_back(serial);
      }
      if (page->empty()) break;
      after = page->back().sequence;
    }
  }

  void Finish(CrashClients& clients) {
    clients.Finish();
    for (int i = 0; i < replica_count_; ++i) Stop(i);
    CheckAll(clients);
  }

  const int replica_count_;
  std::shared_ptr<Store> store_;
  std::unique_ptr<Ledger> ledger_;
};

class CrashOnSqliteTest : public CrashTest {
 protected:
  CrashOnSqliteTest() : CrashTest(1) {}
};

TEST_F(CrashOnSqliteTest, WhatWasAnsweredIsRecordedOnce) {
  Prepare("{sqlite: ca.db}", {.sqlite = directory_ / "ca.db"});
  ASSERT_FALSE(HasFailure());
  const auto clients = StartClients();
  KillAll(*clients, [](int) {});
  Finish(*clients);
}

// Two replicas, one of which is always there, on three members, of which two are.
class CrashOnEtcdTest : public CrashTest {
 protected:
  CrashOnEtcdTest() : CrashTest(2) {}
};

TEST_F(CrashOnEtcdTest, WhatWasAnsweredIsRecordedOnce) {
  TOMBOLO_SKIP_UNLESS_OK(testing::EtcdCluster::Ready());
  const auto etcd = testing::EtcdCluster::Start({.members = 3});
  ASSERT_TRUE(etcd->WaitUntilReady().ok());
  const std::string urls = absl::StrCat("\"", absl::StrJoin(etcd->endpoints(), "\", \""), "\"");
  Prepare("{etcd: {endpoints: [" + urls + "]}}",
          {.etcd = StoreConfig::Etcd{.endpoints = etcd->endpoints()}});
  ASSERT_FALSE(HasFailure());
  const auto clients = StartClients();
  KillAll(*clients, [&](int kill) {
    if (kill == kKills / 4) etcd->Kill(0);
    if (kill == kKills / 2) etcd->Begin(0);
    if (kill == kKills * 3 / 4) {
      ASSERT_TRUE(etcd->WaitUntilReady().ok());
      etcd->Kill(1);
    }
  });
  Finish(*clients);
}

}  // namespace
}  // namespace tombolo::ca
