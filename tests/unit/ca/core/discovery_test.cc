// SPDX-License-Identifier: Apache-2.0
#include "core/discovery.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "core/https_target.h"
#include "issuer_server.h"
#include "service_accounts.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IssuerServer;
using ::testing::Not;
using testing::ServiceAccounts;
using ::testing::SizeIs;
using ::testing::StartsWith;

class DiscoveryTest : public ::testing::Test {
 protected:
  DiscoveryTest() { server_.Serve(ServiceAccounts::kIssuer, accounts_.Jwks()); }

  ClusterRegistration Registration() const {
    return {.issuer = ServiceAccounts::kIssuer,
            .jwks = {},
            .discovery = Discovery{.url = server_.url(), .ca = server_.ca(), .token_file = {}}};
  }
  static absl::StatusOr<FoundKeys> Ask(const ClusterRegistration& registration) {
    return DiscoverKeys(registration, After(std::chrono::seconds(20)));
  }
  void ExpectFails(const std::string& why, const ClusterRegistration& registration) const {
    const absl::Status status = Ask(registration).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }

  testing::TemporaryDirectory directory_;
  IssuerServer server_, other_;
  const ServiceAccounts accounts_;
};

TEST_F(DiscoveryTest, FindsTheKeysThatTheConfigurationNames) {
  const auto found = Ask(Registration());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->jwks, accounts_.Jwks());
  EXPECT_TRUE(found->keys.Find("k1").ok());
  ASSERT_THAT(server_.requests(), SizeIs(2));
  EXPECT_THAT(server_.requests()[0],
              AllOf(StartsWith("GET /.well-known/openid-configuration HTTP/1.1\r\n"),
                    Not(HasSubstr("Authorization"))));
  EXPECT_THAT(server_.requests()[1], StartsWith("GET /openid/v1/jwks HTTP/1.1\r\n"));
}

TEST_F(DiscoveryTest, AnIssuerMayHaveAPath) {
  server_.Answer("/id/7/.well-known/openid-configuration",
                 absl::StrCat(R"({"issuer":")", ServiceAccounts::kIssuer, R"(","jwks_uri":")",
                              server_.url(), R"(/keys?of=7"})"));
  server_.Answer("/keys?of=7", accounts_.Jwks());
  ClusterRegistration registration = Registration();
  registration.discovery->url += "/id/7/";
  const auto found = Ask(registration);
  EXPECT_TRUE(found.ok()) << found.status();
}

TEST_F(DiscoveryTest, TheTokenIsForTheServerAlone) {
  ClusterRegistration registration = Registration();
  registration.discovery->token_file = directory_ / "token";
  ExpectFails("token", registration);
  std::ofstream(directory_ / "token") << " s3cret\n";
  ASSERT_TRUE(Ask(registration).ok());
  ASSERT_THAT(server_.requests(), SizeIs(2));
  for (const std::string& request : server_.requests()) {
    EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer s3cret\r\n"));
  }
  const std::string elsewhere = absl::StrCat(other_.url(), "/keys");
  server_.Answer("/.well-known/openid-configuration",
                 absl::StrCat(R"({"issuer":")", ServiceAccounts::kIssuer, R"(","jwks_uri":")",
                              elsewhere, R"("})"));
  other_.Answer("/keys", accounts_.Jwks());
  registration.discovery->ca += other_.ca();
  ASSERT_TRUE(Ask(registration).ok());
  ASSERT_THAT(other_.requests(), SizeIs(1));
  EXPECT_THAT(other_.requests()[0], Not(HasSubstr("Authorization")));
  std::ofstream(directory_ / "token") << "two words";
  ExpectFails("does not hold a token", registration);
}

TEST_F(DiscoveryTest, WithoutACaTheSystemsRootsCount) {
  ClusterRegistration registration = Registration();
  registration.discovery->ca.clear();
  EXPECT_TRUE(absl::IsPermissionDenied(Ask(registration).status())) << Ask(registration).status();
  std::ofstream(directory_ / "roots.pem") << server_.ca();
  setenv("SSL_CERT_FILE", (directory_ / "roots.pem").c_str(), /*overwrite=*/1);
  const auto found = Ask(registration);
  unsetenv("SSL_CERT_FILE");
  EXPECT_TRUE(found.ok()) << found.status();
}

TEST_F(DiscoveryTest, BelievesNobodyElse) {
  ClusterRegistration other_issuer = Registration();
  other_issuer.issuer = "https://other.example";
  ExpectFails("is of the issuer 'https://kubernetes.default.svc.cluster.local', not of 'https://",
              other_issuer);
  ClusterRegistration other_ca = Registration();
  other_ca.discovery->ca = testing::TestPki().bundle();
  EXPECT_TRUE(absl::IsPermissionDenied(Ask(other_ca).status())) << Ask(other_ca).status();
  server_.Answer("/openid/v1/jwks", "{}");
  ExpectFails("keys", Registration());
  server_.Answer("/openid/v1/jwks", "");
  ExpectFails("/openid/v1/jwks: answers 404", Registration());
  server_.Answer("/openid/v1/jwks", std::string(tls::kMaxJwksSize + 1, ' '));
  ExpectFails("may have 262144", Registration());
  server_.Answer("/.well-known/openid-configuration", "[]");
  ExpectFails("no text 'issuer'", Registration());
  server_.Serve(ServiceAccounts::kIssuer, accounts_.Jwks());
  EXPECT_TRUE(Ask(Registration()).ok());
}

TEST_F(DiscoveryTest, ARegistrationSaysWhereToAskOrWhatIsTheAnswer) {
  ClusterRegistration registration = Registration();
  registration.discovery->token_file = "/run/token";
  const auto text = Encode(registration);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*DecodeClusterRegistration("east", *text), registration);
  EXPECT_TRUE(absl::IsDataLoss(
      DecodeClusterRegistration("east",
                                absl::StrReplaceAll(*text, {{R"("url":)", R"("more":"","url":)"}}))
          .status()));
  const auto expect_bad = [&](const std::string& why, const auto& change) {
    ClusterRegistration bad = registration;
    change(bad);
    EXPECT_THAT(std::string(Check(bad).message()), HasSubstr(why));
  };
  using Bad = ClusterRegistration;
  expect_bad("either keys or where", [&](Bad& bad) { bad.jwks = accounts_.Jwks(); });
  expect_bad("either keys or where", [](Bad& bad) { bad.discovery.reset(); });
  expect_bad("https://", [](Bad& bad) { bad.discovery->url = "http://a.example"; });
  expect_bad("has a query", [](Bad& bad) { bad.discovery->url = "https://a.example/?x"; });
  expect_bad("not a complete path", [](Bad& bad) { bad.discovery->token_file = "token"; });
  expect_bad("CA of the discovery", [](Bad& bad) { bad.discovery->ca = "rubbish"; });
}

TEST(HttpsTargetTest, TakesUrlsOfDocuments) {
  const auto target = HttpsTarget::Parse("https://[fd00::1]:6443/openid/v1/jwks?a=b");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->server.host, "fd00::1");
  EXPECT_EQ(target->server.port, 6443);
  EXPECT_EQ(target->path, "/openid/v1/jwks?a=b");
  EXPECT_EQ(HttpsTarget::Parse("https://a.example")->path, "");
  for (const char* bad :
       {"", "https://", "http://a.example/", "https://a.example/b c", "https://a.example/#x",
        "https://a.example/\r\nX: y", "https:///x", "https://u@a.example/", "/x", "h"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(HttpsTarget::Parse(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace tombolo::ca
