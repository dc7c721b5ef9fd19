// SPDX-License-Identifier: Apache-2.0
// Servers that are away, busy, somebody else or wrong.
#include "tls/certificate_builder.h"
#include "tls/csr.h"
#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Awaitable<void> Keep(Awaitable<absl::StatusOr<std::string>> task,
                     absl::StatusOr<std::string>& out) {
  out = co_await std::move(task);
}

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
  EXPECT_THAT(NotReady(), HasSubstr("of no use here"));
}

TEST_F(IssuanceTest, AnSvidOfNoUseKeepsTheOldOneAndIsNoRefusal) {
  Start({Id("a"), Id("b")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b"); }));
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  const std::string first = Find("a")->serial();
  authority_.issue_instead = Id("b").text();  // as if the name were bound to another
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (!request.target.ends_with(kReenroll)) return std::nullopt;
    return TestAuthority::Answer{.status = 403};  // the node keeps what it has
  };
  // All are renewed at once.
  authority_.bundle.tainted.insert(authority_.KeyOf("east"));
  authority_.Publish(2);
  const auto useless = [&] { return issuance_->View().workloads.at(Id("a")).useless; };
  ASSERT_TRUE(Until(useless));
  ASSERT_TRUE(Has("a"));
  EXPECT_EQ(Find("a")->serial(), first);
  EXPECT_THAT(NotReady(), HasSubstr(Id("a").text() + "' was issued is of no use here: the auth"));
  authority_.issue_instead = "";
  ASSERT_TRUE(Until([&] { return NotReady().empty() && Find("a")->serial() != first; }));
  EXPECT_FALSE(useless());
}

absl::StatusOr<HttpsContextPtr> ContextFor(const std::string& roots,
                                           std::optional<tls::Credentials::Pem> own) {
  const auto trust = ParseTrust(roots, ClusterPki::kDomain, "roots");
  return tls::HttpsContext::ForClient((*trust)->bundle(),
                                      *SpiffeId::ForAuthority(ClusterPki::kDomain), std::move(own));
}

TEST_F(IssuanceTest, AServerThatIsAwayDoesNotHideThatAnotherRefusesTheCertificate) {
  const ClusterPki stranger;
  const auto context = ContextFor(
      authority_.root(),
      ClusterPki::Issue(stranger.issuer("east"), "/cluster/east/node/east-1", stranger.Bundle()));
  ASSERT_TRUE(context.ok()) << context.status();
  const std::string csr = *tls::MakeCsr(*tls::GenerateKey(), Id("a"));
  const net::HttpsUrl nobody{.host = "127.0.0.1", .port = 1};
  const std::vector<net::HttpsUrl> orders[] = {{authority_.url(), nobody},
                                               {nobody, authority_.url()}};
  for (const auto& urls : orders) {
    EstClient client(io_.get_executor(), urls, {});
    absl::StatusOr<std::string> chain;
    Run(Keep(client.Reenroll(*context, csr), chain));
    EXPECT_TRUE(RefusesCertificate(chain.status())) << chain.status();
    EXPECT_TRUE(absl::IsUnavailable(chain.status())) << chain.status();
    client.Close();
  }
  EXPECT_THAT(authority_.requests(), IsEmpty());
}

Awaitable<void> FetchTrust(EstClient& client, HttpsContextPtr context, absl::Status& out) {
  out = (co_await client.FetchTrust(std::move(context), std::nullopt, seconds(3600))).status();
}

TEST_F(IssuanceTest, ASilentServerIsNotWaitedForAsIfItHeldTheRequest) {
  TestAuthority silent(io_);
  silent.silent = true;
  const auto context = ContextFor(authority_.root() + silent.root(), std::nullopt);
  ASSERT_TRUE(context.ok()) << context.status();
  EstClient client(io_.get_executor(), {silent.url(), authority_.url()},
                   {.open = seconds(5), .answer = milliseconds(200)});
  absl::Status status;
  Run(FetchTrust(client, *context, status));
  EXPECT_EQ(silent.CountOf(kTrust), 1u);
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;  // by the other
  client.Close();
  Run(silent.Stop());
}

TEST_F(IssuanceTest, OneServerThatIsAwayIsNotTheAuthority) {
  TestAuthority other(io_);
  const auto context = ContextFor(authority_.root() + other.root(), std::nullopt);
  ASSERT_TRUE(context.ok()) << context.status();
  const std::string csr = *tls::MakeCsr(*tls::GenerateKey(), Id("a"));
  EstClient client(io_.get_executor(), {authority_.url(), other.url()}, {});
  const auto enroll = [&] {
    absl::StatusOr<std::string> chain;
    Run(Keep(client.Enroll(*context, csr, "one"), chain));
    return chain.status();
  };
  EXPECT_TRUE(enroll().ok());
  const auto busy = [](const auto&) { return TestAuthority::Answer{.status = 503}; };
  authority_.intercept = busy;
  other.tokens = {"one"};
  bool while_asked = false;
  other.intercept = [&](const auto&) -> std::optional<TestAuthority::Answer> {
    while_asked = client.reachable();
    return std::nullopt;
  };
  EXPECT_TRUE(enroll().ok());
  EXPECT_TRUE(while_asked);
  EXPECT_TRUE(client.reachable());
  other.intercept = busy;
  EXPECT_TRUE(absl::IsUnavailable(enroll()));
  EXPECT_FALSE(client.reachable());
  client.Close();
  Run(other.Stop());
}

}  // namespace
}  // namespace tombolo::identity
