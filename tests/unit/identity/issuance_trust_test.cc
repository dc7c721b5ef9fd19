// SPDX-License-Identifier: Apache-2.0
// How a node follows the trust bundle, and what that does to its SVIDs.
#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(IssuanceTest, NothingIsIssuedBeforeTheAuthoritysOwnBundleIsThere) {
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target == kTrust) return TestAuthority::Answer{.status = 503, .retry_after = "0"};
    return std::nullopt;
  };
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) >= 3; }));
  EXPECT_EQ(authority_.CountOf(kEnroll), 1u);  // the node
  EXPECT_THAT(NotReady(), HasSubstr("no trust bundle from the authority yet: "));
  authority_.intercept = nullptr;
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, ANewBundleComesAtOnce) {
  Start({Id("a"), Id("b")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b"); }));
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  const tls::CredentialsPtr before = Find("a");
  authority_.refused = {Id("b").text()};
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return !Has("b"); }, seconds(5)));
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  EXPECT_EQ(issuance_->View().sequence, 2u);
  // The same SVID, judged by the new bundle and with it for its peers.
  ASSERT_TRUE(Until([&] { return Has("a") && Find("a") != before; }));
  EXPECT_EQ(Find("a")->serial(), before->serial());
  ASSERT_TRUE(Until([&] { return ErrorOf("b").find("403: not yours") != std::string::npos; }));
  EXPECT_THAT(NotReady(), IsEmpty());  // that one is refused is no fault of the node
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 3; }));
}

TEST_F(IssuanceTest, WhatIsTaintedIsRenewedAtOnceAndOnce) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const std::string serial = Find("a")->serial();
  authority_.bundle.tainted.insert(authority_.KeyOf("east"));
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return Has("a") && Find("a")->serial() != serial; }, seconds(5)));
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kReenroll) == 1; }));
  For(milliseconds(200));
  EXPECT_EQ(authority_.CountOf(kEnroll), 3u);
  EXPECT_EQ(authority_.CountOf(kReenroll), 1u);
}

TEST_F(IssuanceTest, AnOlderBundleTakesNothingBack) {
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(5);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  authority_.bundle.revoked = {};
  authority_.Publish(4);
  const auto error = [&] { return std::string(issuance_->View().trust_error.message()); };
  ASSERT_TRUE(Until([&] { return !error().empty(); }));
  EXPECT_THAT(error(), HasSubstr("went back from sequence 5 to 4"));
  EXPECT_EQ(issuance_->View().sequence, 5u);
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  authority_.Publish(6);
  EXPECT_TRUE(Until([&] { return issuance_->View().sequence == 6 && error().empty(); }));
}

TEST_F(IssuanceTest, AGarbageBundleLeavesTheLastGoodOne) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target != kTrust) return std::nullopt;
    return TestAuthority::Answer{.type = "application/json", .body = "{\"keys\": []}"};
  };
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return !issuance_->View().trust_error.ok(); }));
  EXPECT_EQ(issuance_->View().sequence, 2u);  // the request that was held had that
  EXPECT_TRUE(Has("a"));
}

}  // namespace
}  // namespace tombolo::identity
