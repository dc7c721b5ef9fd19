// SPDX-License-Identifier: Apache-2.0
#include "core/issuer_keys.h"

#include <deque>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "service_accounts.h"

namespace tombolo::ca {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ServiceAccounts;
using ::testing::SizeIs;

class IssuerKeysTest : public ::testing::Test {
 protected:
  IssuerKeysTest() {
    options_.refresh = options_.retry = options_.doubted = hours(1);
    options_.threads = 1;
    options_.ask = [this](const ClusterRegistration& registration, MonotonicTime) {
      const std::lock_guard lock(mutex_);
      ++asked_[registration.discovery->url];
      const auto found = answers_.find(registration.discovery->url);
      if (found != answers_.end()) return found->second;
      return absl::StatusOr<FoundKeys>(absl::UnavailableError("away"));
    };
    Add("east", "https://east.example");
  }

  void Add(const std::string& name, const std::string& url) {
    clusters_[name].registration = {.issuer = ServiceAccounts::kIssuer,
                                    .jwks = {},
                                    .discovery = Discovery{.url = url, .ca = {}, .token_file = {}}};
  }
  void Answer(const std::string& url, const std::string& kid) {
    AnswerWith(url, ServiceAccounts(kid).Jwks());
  }
  void AnswerWith(const std::string& url, const std::string& jwks) {
    const std::lock_guard lock(mutex_);
    answers_[url] = FoundKeys{.jwks = jwks, .keys = *tls::JwtKeys::Parse(jwks)};
  }
  void Fail(const std::string& url) {
    const std::lock_guard lock(mutex_);
    answers_.erase(url);
  }
  int Asked(const std::string& url) {
    const std::lock_guard lock(mutex_);
    return asked_[url];
  }
  template <typename Predicate>
  static bool Eventually(Predicate holds) {
    for (int i = 0; i < 3000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  RegisteredCluster Applied(const IssuerKeys& keys, const std::string& name) {
    keys.Apply(clusters_);
    return clusters_[name];
  }

  std::mutex mutex_;
  std::map<std::string, absl::StatusOr<FoundKeys>> answers_;  // guarded by mutex_; by the URL
  std::map<std::string, int> asked_;                          // guarded by mutex_
  IssuerKeys::Options options_;
  RegisteredClusters clusters_;
};

const std::string kEast = "https://east.example";
const std::string kWest = "https://west.example";

TEST_F(IssuerKeysTest, NothingIsKnownBeforeItIsRead) {
  IssuerKeys keys(options_);
  clusters_["by_hand"].registration.jwks = "x";
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return !keys.Errors().empty(); }));
  EXPECT_THAT(keys.Errors(), ElementsAre("keys of cluster 'east': away"));
  EXPECT_FALSE(keys.TakeChanged());
  EXPECT_FALSE(Applied(keys, "east").known);
  EXPECT_TRUE(clusters_["by_hand"].known) << "whose keys are registered is nobody's business here";
  EXPECT_THAT(keys.Ages(), IsEmpty());
}

TEST_F(IssuerKeysTest, WhatWasReadLastCountsWhileAskingFails) {
  options_.refresh = options_.retry = milliseconds(1);
  Answer(kEast, "k1");
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  EXPECT_TRUE(Applied(keys, "east").keys.Find("k1").ok());
  EXPECT_THAT(keys.Ages(), SizeIs(1));
  Answer(kEast, "k2");
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  EXPECT_TRUE(Applied(keys, "east").keys.Find("k2").ok());
  EXPECT_FALSE(Applied(keys, "east").keys.Find("k1").ok());
  Fail(kEast);
  ASSERT_TRUE(Eventually([&] { return !keys.Errors().empty(); }));
  const int asked = Asked(kEast);
  ASSERT_TRUE(Eventually([&] { return Asked(kEast) > asked + 3; }));
  EXPECT_FALSE(keys.TakeChanged());
  EXPECT_TRUE(Applied(keys, "east").known);
  EXPECT_TRUE(Applied(keys, "east").keys.Find("k2").ok());
}

TEST_F(IssuerKeysTest, KeysThatAreTooOldAreForgotten) {
  options_.refresh = options_.retry = milliseconds(1);
  options_.max_age = milliseconds(50);
  Answer(kEast, "k1");
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged() && Applied(keys, "east").known; }));
  Fail(kEast);
  EXPECT_TRUE(Eventually([&] { return keys.TakeChanged() && !Applied(keys, "east").known; }));
  EXPECT_THAT(keys.Ages(), IsEmpty());
  Answer(kEast, "k1");
  EXPECT_TRUE(Eventually([&] { return keys.TakeChanged() && Applied(keys, "east").known; }))
      << "and the same keys are news";
}

TEST_F(IssuerKeysTest, KeysMayAllBeWithdrawn) {
  Answer(kEast, "k1");
  options_.refresh = milliseconds(1);
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  AnswerWith(kEast, R"({"keys":[]})");
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  EXPECT_TRUE(Applied(keys, "east").known);
  EXPECT_TRUE(absl::IsNotFound(Applied(keys, "east").keys.Find("k1").status()));
}

TEST_F(IssuerKeysTest, ADoubtedKeyIsAskedForAtOnceButNotTooOften) {
  Answer(kEast, "k1");
  options_.doubted = milliseconds(0);
  {
    IssuerKeys keys(options_);
    keys.Follow(clusters_);
    ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
    keys.Doubt("https://other.example");
    Answer(kEast, "k2");
    keys.Doubt(ServiceAccounts::kIssuer);
    EXPECT_TRUE(Eventually([&] { return keys.TakeChanged(); })) << "long before it is refreshed";
    EXPECT_EQ(Asked(kEast), 2);
  }
  options_.doubted = hours(1);
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  for (int i = 0; i < 100; ++i) keys.Doubt(ServiceAccounts::kIssuer);
  Add("west", kWest);
  Answer(kWest, "k1");
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  EXPECT_EQ(Asked(kEast), 3) << "the only thread has asked the other one meanwhile";
}

TEST_F(IssuerKeysTest, AnotherRegistrationBeginsAnew) {
  Answer(kEast, "k1");
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  ASSERT_TRUE(Eventually([&] { return keys.TakeChanged(); }));
  keys.Follow(clusters_);
  EXPECT_TRUE(Applied(keys, "east").known) << "the same stays";
  Add("east", kWest);
  keys.Follow(clusters_);
  EXPECT_FALSE(Applied(keys, "east").known) << "nothing of another server's keys";
  ASSERT_TRUE(Eventually([&] { return Asked(kWest) == 1; }));
  clusters_.clear();
  keys.Follow(clusters_);
  EXPECT_TRUE(Eventually([&] { return keys.Errors().empty(); }));
}

TEST_F(IssuerKeysTest, AnAnswerToAnOldRegistrationIsDropped) {
  std::promise<void> asking, go_on;
  const std::shared_future<void> gate = go_on.get_future().share();
  std::atomic<bool> first = true;
  const auto ask = options_.ask;
  options_.ask = [&, ask, gate](const ClusterRegistration& registration, MonotonicTime deadline) {
    if (first.exchange(false)) {
      asking.set_value();
      gate.wait();
    }
    return ask(registration, deadline);
  };
  Answer(kEast, "k1");
  IssuerKeys keys(options_);
  keys.Follow(clusters_);
  asking.get_future().wait();
  Add("east", kWest);
  keys.Follow(clusters_);
  go_on.set_value();
  ASSERT_TRUE(Eventually([&] { return Asked(kWest) == 1; }));
  EXPECT_FALSE(Applied(keys, "east").known);
  EXPECT_FALSE(keys.TakeChanged());
}

}  // namespace
}  // namespace tombolo::ca
