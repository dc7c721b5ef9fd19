// SPDX-License-Identifier: Apache-2.0
// How a node follows the trust bundle, and what that does to its SVIDs.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/files.h"
#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class IssuanceTrustTest : public IssuanceTest {
 protected:
  bool Failing() const { return !issuance_->View().trust_error.ok(); }
  std::string OnDisk() const { return *ReadFile(BundleFile(options_), 1'000'000); }
};

TEST_F(IssuanceTrustTest, NothingIsIssuedBeforeTheAuthoritysOwnBundleIsThere) {
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

TEST_F(IssuanceTrustTest, ANewBundleComesAtOnce) {
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

TEST_F(IssuanceTrustTest, ConnectionsHearOfARevocationBeforeAnythingElseIsDone) {
  options_.state = dir_.Path("state");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a") && authority_.CountOf(kTrust) == 2; }));
  const tls::TrustAnchorsPtr before = Find("a")->trust();
  bool told = false;
  on_change_ = [&] {
    if (std::exchange(told, true)) return;
    EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
    EXPECT_EQ(Find("a")->trust(), before) << "an SVID was judged first";
    EXPECT_THAT(OnDisk(), HasSubstr("\"spiffe_sequence\":1,")) << "the disk was written first";
  };
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return told && Find("a")->trust() != before; }));
  EXPECT_THAT(OnDisk(), HasSubstr("\"spiffe_sequence\":2,"));
}

TEST_F(IssuanceTrustTest, ABundleIsConfirmedOnceTheDiskHasIt) {
  options_.state = dir_.Path("state");
  Start({});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  std::filesystem::rename(options_.state, dir_.Path("away"));
  dir_.Write("state", "no directory");
  authority_.Publish(2);
  const auto says2 = [&](const char* where) {
    return std::ranges::any_of(authority_.requests(), [&](const auto& request) {
      return request.if_none_match == "\"2\"" && request.target.ends_with(where);
    });
  };
  // It is used, and the public bundle is looked at meanwhile.
  ASSERT_TRUE(Until([&] { return says2(kPublicTrust); }));
  EXPECT_EQ(issuance_->View().sequence, 2u);
  EXPECT_FALSE(issuance_->View().state_error.ok());
  EXPECT_FALSE(says2(kTrust));
  std::filesystem::remove(options_.state);
  std::filesystem::rename(dir_.Path("away"), options_.state);
  ASSERT_TRUE(Until([&] { return says2(kTrust); }));
  EXPECT_THAT(OnDisk(), HasSubstr("\"spiffe_sequence\":2,"));
  EXPECT_TRUE(issuance_->View().state_error.ok());
}

TEST_F(IssuanceTrustTest, ANodeWithoutAnSvidStillLearnsOfRevocations) {
  options_.state = dir_.Path("state");
  Start({});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  Stop();
  std::filesystem::remove(NodeFile(options_));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.method != "POST") return std::nullopt;
    return TestAuthority::Answer{.status = 403};
  };
  Start({});
  EXPECT_THAT(NotReady(), HasSubstr("the node has no valid SVID"));
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return issuance_->View().sequence == 2; }));
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  // Again and again, and without an answer's body while there is nothing new.
  const std::size_t looks = authority_.CountOf(kPublicTrust);
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kPublicTrust) > looks + 1; }));
  EXPECT_EQ(authority_.requests().back().caller, "");
}

TEST_F(IssuanceTrustTest, ANodeWhoseSvidIsNotWantedStillLearnsOfRevocations) {
  Start({});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target != kTrust) return std::nullopt;
    return TestAuthority::Answer{.status = 401};
  };
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return issuance_->View().sequence == 2; }));
  authority_.Publish(3);
  ASSERT_TRUE(Until([&] { return issuance_->View().sequence == 3; }));
  EXPECT_TRUE(issuance_->View().trust_error.ok()) << issuance_->View().trust_error;
}

TEST_F(IssuanceTrustTest, ACorrectedTrustIsTriedWhenTheHeldBundleVouchesForNobody) {
  options_.state = dir_.Path("state");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  Stop();
  // The authority was set up anew.
  TestAuthority other(io_);
  other.tokens = {"two"};
  options_.urls = {other.url(), {.host = "127.0.0.1", .port = 1}};  // and one that is away
  dir_.Replace("token", "two");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Failing(); }));
  EXPECT_THAT(other.requests(), IsEmpty());  // nobody has said that it may be trusted
  dir_.Replace("trust.pem", other.root());
  ASSERT_TRUE(Until([&] { return Has("a"); })) << NotReady();
  EXPECT_TRUE(issuance_->View().trust_error.ok()) << issuance_->View().trust_error;
  Stop();
  Run(other.Stop());
}

TEST_F(IssuanceTrustTest, AStateWithoutTheDigestOfTrustHasThatOfItsFirstStart) {
  options_.state = dir_.Path("state");
  // The disk does not take that file.
  const std::string blocked = OriginFile(options_) + ".new";
  std::filesystem::create_directories(blocked);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a") && authority_.CountOf(kTrust) >= 2; }));
  EXPECT_THAT(OnDisk(), HasSubstr("\"spiffe_sequence\":1,"));
  EXPECT_FALSE(issuance_->View().state_error.ok());
  Stop();
  ASSERT_FALSE(std::filesystem::exists(OriginFile(options_)));
  TestAuthority other(io_);
  other.tokens = {"two"};
  options_.urls = {other.url()};
  dir_.Replace("token", "two");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Failing(); }));
  EXPECT_FALSE(issuance_->View().state_error.ok());
  // It is tried again and again.
  std::filesystem::remove(blocked);
  ASSERT_TRUE(Until([&] { return std::filesystem::exists(OriginFile(options_)); }));
  EXPECT_TRUE(Until([&] { return issuance_->View().state_error.ok(); }));
  EXPECT_THAT(other.requests(), IsEmpty());
  dir_.Replace("trust.pem", other.root());
  EXPECT_TRUE(Until([&] { return Has("a"); })) << NotReady();
  Stop();
  Run(other.Stop());
}

TEST_F(IssuanceTrustTest, AnUnchangedTrustIsNotTriedAgain) {
  TestAuthority other(io_);
  options_.state = dir_.Path("state");
  // Both roots to begin with; the authority's own bundle has one of them.
  options_.trust = dir_.Write("trust.pem", authority_.root() + other.root());
  Start({});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  Stop();
  options_.urls = {other.url()};
  Start({});
  ASSERT_TRUE(Until([&] { return Failing(); }));
  EXPECT_THAT(other.requests(), IsEmpty());
  Stop();
  Run(other.Stop());
}

TEST_F(IssuanceTrustTest, WhatIsTaintedIsRenewedAtOnceAndOnce) {
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

TEST_F(IssuanceTrustTest, AnOlderBundleTakesNothingBack) {
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(5);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  // That somebody has edited this is no way back, either.
  dir_.Replace("trust.pem", authority_.root() + "\n");
  authority_.bundle.revoked = {};
  authority_.Publish(4);
  const auto error = [&] { return std::string(issuance_->View().trust_error.message()); };
  ASSERT_TRUE(Until([&] { return !error().empty(); }));
  EXPECT_THAT(error(), HasSubstr("went back from sequence 5 to 4"));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target != kTrust) return std::nullopt;
    return TestAuthority::Answer{.status = 503, .retry_after = "0"};
  };
  ASSERT_TRUE(Until([&] { return error().find("503") != std::string::npos; }));
  EXPECT_EQ(issuance_->View().sequence, 5u);
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  authority_.intercept = nullptr;
  authority_.Publish(6);
  EXPECT_TRUE(Until([&] { return issuance_->View().sequence == 6 && error().empty(); }));
}

TEST_F(IssuanceTrustTest, AGarbageBundleLeavesTheLastGoodOne) {
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
