// SPDX-License-Identifier: Apache-2.0
// Servers that are away, busy, somebody else or wrong.
#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(IssuanceTest, IsNotAskedSoonerThanItWants) {
  int refused = 0;
  authority_.intercept = [&](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.caller.empty() || request.target == kTrust || refused == 1) return std::nullopt;
    ++refused;
    return TestAuthority::Answer{.status = 429, .retry_after = "1"};
  };
  Start({Id("a"), Id("b"), Id("c")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b") && Has("c"); }));
  std::optional<MonotonicTime> at;
  for (const auto& request : authority_.requests()) {
    if (request.caller.empty() || request.target == kTrust) continue;
    if (!at) at = request.at;
    // Others were under way at the same moment, and after that none.
    const Duration after = request.at - *at;
    EXPECT_TRUE(after < milliseconds(500) || after >= seconds(1)) << after.count();
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(IssuanceTest, AnotherServersIdentityIsRefused) {
  TestAuthority impostor(io_, "/cluster/east/node/east-2");
  authority_.Close();
  options_.urls = {impostor.url()};
  // It has a certificate below a root that this node trusts.
  options_.trust = dir_.Write("trust.pem", impostor.root());
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures >= 2; }));
  EXPECT_THAT(NotReady(), HasSubstr("not 'spiffe://test.example/ca'"));
  EXPECT_THAT(impostor.requests(), IsEmpty());  // and has not seen the token
  Run(impostor.Stop());
}

TEST_F(IssuanceTest, AnotherRootIsRefused) {
  options_.trust = dir_.Write("trust.pem", ClusterPki().root());
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures >= 2; }));
  EXPECT_THAT(authority_.requests(), IsEmpty());
  EXPECT_THAT(NotReady(), HasSubstr("TLS with 127.0.0.1"));
}

TEST_F(IssuanceTest, TheNextServerIsAskedWhenOneIsAway) {
  const net::HttpsUrl nobody{.host = "127.0.0.1", .port = 1};
  const net::HttpsUrl named{.host = "localhost", .port = authority_.url().port};
  options_.urls = {nobody, named};
  Start({Id("a")});
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, AServersNameIsSaidToItAndAnAddressIsNot) {
  options_.urls = {{.host = "localhost", .port = authority_.url().port}};
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  for (const auto& request : authority_.requests()) EXPECT_EQ(request.sni, "localhost");
  Stop();
  const std::size_t before = authority_.requests().size();
  options_.urls = {authority_.url()};
  authority_.tokens = {"one"};
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  for (std::size_t i = before; i < authority_.requests().size(); ++i) {
    EXPECT_EQ(authority_.requests()[i].sni, "");
  }
}

TEST_F(IssuanceTest, AnAuthorityThatSaysNothingDoesNotHoldUpTheNext) {
  TestAuthority silent(io_);
  silent.silent = true;
  options_.trust = dir_.Write("trust.pem", authority_.root() + silent.root());
  options_.deadlines = {.open = seconds(5), .answer = milliseconds(200)};
  options_.urls = {silent.url(), authority_.url()};
  Start({Id("a")});
  EXPECT_TRUE(Until([&] { return Has("a"); }));
  Stop();
  Run(silent.Stop());
}

TEST_F(IssuanceTest, GarbageIsNoSvid) {
  const std::string types[] = {"application/pkcs7-mime", "text/html"};
  int garbage = 0;
  authority_.intercept = [&](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.caller.empty() || request.target == kTrust || garbage >= 6) return std::nullopt;
    ++garbage;
    const std::string bodies[] = {"!", "", std::string(1'000'000, 'A')};
    return TestAuthority::Answer{.type = types[garbage % 2], .body = bodies[garbage % 3]};
  };
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return garbage >= 5; }));
  EXPECT_FALSE(Has("a"));
  EXPECT_THAT(ErrorOf("a"), Not(IsEmpty()));
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, AnotherIdentityThanWasAskedForIsOfNoUse) {
  Start({});
  ASSERT_TRUE(Until([&] { return issuance_->NotReady().empty(); }));
  authority_.issue_instead = Id("other").text();
  issuance_->SetWorkloads({Id("a")});
  ASSERT_TRUE(Until([&] { return ErrorOf("a").find("instead of") != std::string::npos; }));
  EXPECT_FALSE(Has("a"));
  EXPECT_EQ(issuance_->store()->Find(Id("other")), nullptr);
}

}  // namespace
}  // namespace tombolo::identity
