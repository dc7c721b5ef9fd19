// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/cluster_registration.h"
#include "core/rotation.h"
#include "core/setup.h"
#include "core/stored_state.h"
#include "ledger/ledger.h"
#include "store/sqlite_store.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {

inline constexpr char kDomain[] = "test.example";

// A trust domain in an SQLite store, with a root, the server's authority and one of each cluster
// that a test adds.
class CoreCase : public ::testing::Test {
 protected:
  CoreCase() {
    auto root = MakeRoot(kDomain, "", keys_);
    EXPECT_TRUE(root.ok()) << root.status();
    Put({.trust_domain = kDomain, .roots = {*root}, .authorities = {}, .federated = {}});
    AddCluster("");
  }

  StoredTrust Trust() const {
    auto trust = ReadTrust(Reader(*store_));
    EXPECT_TRUE(trust.ok()) << trust.status();
    return *trust;
  }
  void Put(const TrustState& state) {
    const auto text = Encode(state);
    ASSERT_TRUE(text.ok()) << text.status();
    PutText(kTrustDocument, *text);
  }
  void PutText(const std::string& name, const std::string& text) {
    const auto put = Ledger::Await([&](Ledger::Done done) {
      ledger_->PutDocument(name, text, std::nullopt, std::nullopt, "test", std::move(done));
    });
    ASSERT_TRUE(put.ok()) << put.status();
  }
  NewAuthority NewAuthorityFor(const std::string& cluster) {
    const auto root = OpenRoot(Trust().trust.active(), keys_, kDomain);
    EXPECT_TRUE(root.ok()) << root.status();
    return *MakeAuthority(**root, cluster, keys_, std::chrono::system_clock::now());
  }
  void AddCluster(const std::string& cluster) {
    const auto next = InstallAuthority(Trust().trust, NewAuthorityFor(cluster).authority);
    ASSERT_TRUE(next.ok()) << next.status();
    Put(*next);
  }
  void Register(const std::string& cluster, const ClusterRegistration& registration) {
    const auto text = Encode(registration);
    ASSERT_TRUE(text.ok()) << text.status();
    PutText(absl::StrCat(kClusterDocuments, cluster), *text);
  }
  void Revoke(Kind kind, const std::string& subject) {
    const auto revoked = Ledger::Await([&](Ledger::Done done) {
      ledger_->Revoke({.kind = kind, .subject = subject, .reason = "stolen", .time = {}},
                      std::nullopt, "test", std::move(done));
    });
    ASSERT_TRUE(revoked.ok()) << revoked.status();
  }
  void Unrevoke(Kind kind, const std::string& subject) {
    const auto taken_back = Ledger::Await([&](Ledger::Done done) {
      ledger_->Unrevoke({.kind = kind, .subject = subject, .reason = "found"}, std::nullopt, "test",
                        std::move(done));
    });
    ASSERT_TRUE(taken_back.ok()) << taken_back.status();
  }
  void Issue(const Certificate& certificate) {
    const auto issued = Ledger::Await([&](Ledger::Done done) {
      ledger_->Issue(certificate, std::nullopt, "test", std::move(done));
    });
    ASSERT_TRUE(issued.ok()) << issued.status();
  }
  StoredState State() const {
    auto state = StoredStateReader().Read(Reader(*store_), std::chrono::system_clock::now());
    EXPECT_TRUE(state.ok()) << state.status();
    return *std::move(state);
  }

  testing::TemporaryDirectory directory_;
  const KeyStore keys_{directory_ / "keys"};
  std::shared_ptr<Store> store_ = *SqliteStore::Open({.path = directory_ / "ca.db"});
  std::unique_ptr<Ledger> ledger_ = *Ledger::Open(store_, {});
};

}  // namespace tombolo::ca
