// SPDX-License-Identifier: Apache-2.0
// Enrolment from a request of `openssl req` to what `openssl verify` says of the certificate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_service_case.h"
#include "issuer_server.h"
#include "testing/skip.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::ServiceAccounts;
using testing::Shell;

using AuthorityServiceTest = AuthorityServiceCase;

TEST_F(AuthorityServiceTest, ARequestOfOpensslBecomesAVerifiedCertificate) {
  if (Shell("openssl version").status != 0) TOMBOLO_SKIP_WITHOUT("the openssl command");
  const std::string csr = OpensslCsr("URI:" + kNode + ",DNS:evil.example,IP:10.0.0.1,email:a@b");
  const auto enrolled = replica_->Enrol(ByToken(csr, NewToken(kNode)));
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(enrolled->id.text(), kNode);
  ExpectVerifies(*enrolled);
  const auto text = Shell("openssl x509 -noout -text -in " + (directory_ / "chain.pem"));
  EXPECT_THAT(text.output, HasSubstr("URI:" + kNode));
  for (const char* wish : {"evil.example", "10.0.0.1", "email:", "give me everything"}) {
    EXPECT_THAT(text.output, Not(HasSubstr(wish)));
  }
  const auto serial = Shell("openssl x509 -noout -serial -in " + (directory_ / "chain.pem") +
                            " | cut -d= -f2 | tr A-F a-f | tr -d '\\n'");
  const auto record = Reader(*store_).FindCertificate(serial.output);
  ASSERT_TRUE(record.ok() && *record) << record.status();
  EXPECT_EQ((*record)->subject, kNode);
  EXPECT_EQ((*record)->node, "east/n1");
  const auto fingerprint =
      Shell("openssl x509 -noout -fingerprint -sha256 -in " + (directory_ / "chain.pem") +
            " | cut -d= -f2 | tr A-F a-f | tr -d ':\\n'");
  EXPECT_EQ((*record)->certificate, fingerprint.output);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(AuthorityServiceTest, EveryCredentialGetsItsIdentity) {
  const auto expect = [&](const std::string& id, CertificateRequest request) {
    const auto enrolled = replica_->Enrol(std::move(request));
    ASSERT_TRUE(enrolled.ok()) << id << ": " << enrolled.status();
    EXPECT_EQ(enrolled->id.text(), id);
    ExpectVerifies(*enrolled);
  };
  expect(kNode, ByToken(Csr(kNode), NewToken(kNode)));
  expect(kWeb, ByToken(Csr(kWeb), NewToken(kWeb)));
  expect(kWeb, ByToken(Csr(kWeb), accounts_.Token({})));
  expect(kNode, ByToken(Csr(kNode), accounts_.Token({.ns = "tombolo", .account = "agent"})));
  expect(kNode, By(Csr(kNode), kNode));
  expect(kWeb, By(Csr(kWeb), kNode));
  CertificateRequest own = By(Csr(kWeb), kWeb);
  own.peer = Svid(kWeb, SerialOf(kWeb));
  expect(kWeb, own);
  CertificateRequest both = By(Csr("spiffe://test.example/cluster/east/ns/shop/sa/db"), kNode);
  both.token = accounts_.Token({.account = "db"});
  expect("spiffe://test.example/cluster/east/ns/shop/sa/db", both);
  EXPECT_EQ(replica_->service->counters().issued, 8u);
}

TEST_F(AuthorityServiceTest, RefusesWhatIsNotTheirs) {
  using absl::StatusCode;
  const std::string csr = Csr(kWeb);
  ExpectRefused(StatusCode::kPermissionDenied, "no workload",
                By(csr, "spiffe://test.example/cluster/east/node/n2"));
  ExpectRefused(StatusCode::kUnauthenticated, "audience",
                ByToken(csr, accounts_.Token({.audience = "vault"})));
  ExpectRefused(StatusCode::kUnauthenticated, "expired",
                ByToken(csr, accounts_.Token({.expires_in = std::chrono::seconds(-60)})));
  ExpectRefused(StatusCode::kUnauthenticated, "not known", ByToken(csr, NewJoinToken()));
  ExpectRefused(StatusCode::kUnauthenticated, "has expired",
                ByToken(csr, NewToken(kWeb, std::chrono::seconds(-1))));
  ExpectRefused(StatusCode::kUnauthenticated, "no credential", ByToken(csr, ""));
  ExpectRefused(StatusCode::kInvalidArgument, "certificate request", ByToken("rubbish", ""));
  const std::string west = "spiffe://test.example/cluster/west/node/n1";
  ExpectRefused(StatusCode::kPermissionDenied, "no authority for cluster 'west'",
                ByToken(Csr(west), NewToken(west)));
  EXPECT_THAT(Events("certificate issued"), Not(Contains(kWeb)));
  EXPECT_EQ(replica_->service->counters().issued, 0u);
  EXPECT_EQ(replica_->service->counters().denied, 2u);
}

TEST_F(AuthorityServiceTest, RefusesAWeakKey) {
  if (Shell("openssl version").status != 0) TOMBOLO_SKIP_WITHOUT("the openssl command");
  const std::string token = NewToken(kNode);
  ExpectRefused(absl::StatusCode::kInvalidArgument, "1024 bits",
                ByToken(OpensslCsr("URI:" + kNode, "rsa:1024"), token));
  EXPECT_TRUE(replica_->Enrol(ByToken(Csr(kNode), token)).ok()) << "the token is not spent by it";
}

TEST_F(AuthorityServiceTest, AClusterMaySayItselfWhichKeysItSignsWith) {
  AddCluster("west");
  const auto server = std::make_unique<testing::IssuerServer>();
  const std::string issuer = "https://west.example";
  Register("west",
           {.issuer = issuer,
            .jwks = {},
            .discovery = Discovery{.url = server->url(), .ca = server->ca(), .token_file = {}}});
  IssuerKeys::Options often;
  often.retry = often.doubted = milliseconds(10);
  replica_ = NewReplica({}, often);
  const std::string west = "spiffe://test.example/cluster/west/ns/shop/sa/web";
  const ServiceAccounts first("k1"), second("k2");
  const auto ask = [&](const ServiceAccounts& accounts) {
    return replica_->Enrol(ByToken(Csr(west), accounts.Token({.issuer = issuer}))).status();
  };
  EXPECT_TRUE(absl::IsUnavailable(ask(first))) << "it is away, and everything else goes on";
  EXPECT_TRUE(replica_->Enrol(ByToken(Csr(kWeb), accounts_.Token({}))).ok());
  const auto eventually = [&](const ServiceAccounts& accounts) {
    absl::Status status = ask(accounts);
    for (int i = 0; i < 1000 && !status.ok(); ++i) {
      std::this_thread::sleep_for(milliseconds(10));
      status = ask(accounts);
    }
    return status;
  };
  server->Serve(issuer, first.Jwks());
  EXPECT_TRUE(eventually(first).ok());
  server->Serve(issuer, second.Jwks());
  EXPECT_TRUE(eventually(second).ok()) << "a token by a new key makes it be asked again";
  EXPECT_TRUE(absl::IsUnauthenticated(ask(first)));
  EXPECT_TRUE(absl::IsUnauthenticated(ask(accounts_)));
}

TEST_F(AuthorityServiceTest, RefusalsDoNotFloodTheLog) {
  for (int i = 0; i < 200; ++i) {
    ExpectRefused(absl::StatusCode::kUnauthenticated, "no credential", ByToken(Csr(kNode), ""));
  }
  ExpectRefused(absl::StatusCode::kPermissionDenied, "no workload", By(Csr(kNode), kOther));
  replica_->service.reset();
  const std::size_t refused = Events("certificate refused").size();
  EXPECT_GE(refused, 31u) << "and one of another kind";
  EXPECT_LE(refused, 33u);
}

TEST_F(AuthorityServiceTest, MoreThanItTakesIsRefusedAtOnce) {
  replica_ = NewReplica({.threads = 1, .queue = 4});
  std::promise<void> everybody_asked;
  const std::shared_future<void> gate = everybody_asked.get_future().share();
  std::atomic<int> busy = 0, answered = 0;
  for (int i = 0; i < 64; ++i) {
    replica_->service->Enrol(By(Csr(kNode), kNode),
                             [&, gate](const absl::StatusOr<Enrolled>& enrolled) {
                               if (absl::IsResourceExhausted(enrolled.status())) {
                                 ++busy;
                               } else {
                                 gate.wait();  // a request counts until its answer has been taken
                               }
                               ++answered;
                             });
  }
  everybody_asked.set_value();
  replica_->service.reset();
  EXPECT_EQ(answered, 64) << "everybody is answered before it ends";
  EXPECT_EQ(busy, 60);
}

}  // namespace
}  // namespace tombolo::ca
