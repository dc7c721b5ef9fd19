// SPDX-License-Identifier: Apache-2.0
// How SVIDs are had, renewed and given up.
#include <algorithm>

#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(IssuanceTest, EnrolsByTokenAndHasEveryWorkloadsSvid) {
  std::set<SpiffeId> ids;
  for (int i = 0; i < 40; ++i) ids.insert(Id("w" + std::to_string(i)));
  Start(ids);
  EXPECT_THAT(NotReady(), HasSubstr("the node has no valid SVID"));
  EXPECT_EQ(ErrorOf("w0"), "not issued yet");
  const auto all = [&] {
    return std::ranges::all_of(
        ids, [&](const auto& id) { return issuance_->store()->Find(id) != nullptr; });
  };
  ASSERT_TRUE(Until(all)) << NotReady();
  EXPECT_THAT(NotReady(), IsEmpty());
  EXPECT_TRUE(authority_.tokens.empty());
  EXPECT_EQ(authority_.CountOf(kEnroll), 41u);
  const std::string node = "spiffe://test.example/cluster/east/node/east-1";
  for (const auto& request : authority_.requests()) {
    const bool first = &request == &authority_.requests().front();
    EXPECT_EQ(request.token, first ? "one" : "");
    EXPECT_EQ(request.caller, first ? "" : node);
  }
  // Many at once are few changes for the agent.
  EXPECT_LT(changes_, 20);
  const IssuanceView view = issuance_->View();
  EXPECT_TRUE(view.reachable);
  EXPECT_EQ(view.sequence, 1u);
  EXPECT_EQ(view.node.id.text(), node);
  EXPECT_EQ(view.workloads.size(), 40u);
  EXPECT_EQ(view.workloads.at(Id("w7")).serial, Find("w7")->serial());
  // It holds the bundle, and says so by asking for the next.
  const auto confirms = [](const auto& request) { return request.if_none_match == "\"1\""; };
  EXPECT_TRUE(Until([&] { return std::ranges::any_of(authority_.requests(), confirms); }));
}

TEST_F(IssuanceTest, RenewsAtHalfOfTheLifetime) {
  authority_.ttl = seconds(4);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const WallTime obtained = std::chrono::system_clock::now();
  const tls::CredentialsPtr first = Find("a");
  bool always = true;
  ASSERT_TRUE(Until([&] {
    always = always && Has("a");
    return Find("a") != first;
  }));
  EXPECT_TRUE(always);
  const WallTime renewed = std::chrono::system_clock::now();
  EXPECT_GT(renewed, obtained + milliseconds(1000));
  EXPECT_LT(renewed, first->not_after() - milliseconds(500));
  // The node's own too, by itself, with a new key.
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kReenroll) >= 1; }));
  EXPECT_THAT(NotReady(), IsEmpty());
}

TEST_F(IssuanceTest, AGatewayHasItsOwnIdentityAndNoOther) {
  authority_.ttl = seconds(4);
  options_.node = "gw-1";
  options_.gateway = true;
  const SpiffeId own = *SpiffeId::ForGateway(ClusterPki::kDomain, "east", "gw-1");
  const auto find = [&] { return issuance_->store()->Find(own); };
  bool bound = true;  // by roots alone, anybody's authority could vouch for it
  on_change_ = [&] {
    const tls::CredentialsPtr credentials = find();
    if (credentials != nullptr) bound = bound && issuance_->View().sequence.has_value();
  };
  Start({});
  ASSERT_TRUE(Until([&] { return find() != nullptr; })) << NotReady();
  EXPECT_EQ(find()->id(), own);
  EXPECT_EQ(issuance_->store()->entries().size(), 1u);
  EXPECT_TRUE(bound);
  const tls::CredentialsPtr first = find();
  ASSERT_TRUE(Until([&] { return find() != first && find() != nullptr; }));
  EXPECT_EQ(authority_.CountOf(kEnroll), 1u);
  EXPECT_GE(authority_.CountOf(kReenroll), 1u);
  authority_.bundle.revoked.ids = {own.text()};
  authority_.Publish(2);
  EXPECT_TRUE(Until([&] { return find() == nullptr; }));
  EXPECT_FALSE(issuance_->store()->CheckRevoked(own, "").ok());
}

TEST_F(IssuanceTest, AnAuthorityThatWasAwayIsForgiven) {
  authority_.ttl = seconds(6);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const tls::CredentialsPtr first = Find("a");
  authority_.Close();
  const auto failures = [&] { return issuance_->View().workloads.at(Id("a")).failures; };
  ASSERT_TRUE(Until([&] { return failures() >= 2; }));
  EXPECT_EQ(Find("a"), first);  // it holds
  EXPECT_FALSE(issuance_->View().reachable);
  EXPECT_THAT(ErrorOf("a"), HasSubstr("https://127.0.0.1"));
  EXPECT_THAT(NotReady(), IsEmpty());
  // A workload that comes now has to wait, and the node says that.
  issuance_->SetWorkloads({Id("a"), Id("b")});
  EXPECT_THAT(NotReady(), HasSubstr("1 of 2 SVIDs were not issued yet"));
  ASSERT_TRUE(Until([&] { return issuance_->View().workloads.at(Id("a")).expires_soon; }));
  authority_.Open();
  ASSERT_TRUE(Until([&] { return Has("b") && Find("a") != first; }));
  EXPECT_LT(std::chrono::system_clock::now(), first->not_after());
  EXPECT_TRUE(issuance_->View().reachable);
  EXPECT_EQ(ErrorOf("a"), "");
  EXPECT_EQ(failures(), 0u);
}

TEST_F(IssuanceTest, WorkloadsComeAndGo) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  issuance_->SetWorkloads({Id("b")});
  EXPECT_FALSE(Has("a"));
  EXPECT_TRUE(issuance_->store()->entries().contains(Id("b")));
  EXPECT_TRUE(Until([&] { return Has("b"); }));
  EXPECT_EQ(issuance_->store()->entries().size(), 1u);
}

TEST_F(IssuanceTest, StopsAtOnceWhateverItWaitsFor) {
  Start({Id("a")});
  // The second request for the bundle is held.
  ASSERT_TRUE(Until([&] { return Has("a") && authority_.CountOf(kTrust) == 2; }));
  const MonotonicTime before = std::chrono::steady_clock::now();
  Stop();
  authority_.silent = true;
  authority_.tokens = {"one"};
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kEnroll) == 3; }));
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(3));
  authority_.silent = false;
}

}  // namespace
}  // namespace tombolo::identity
