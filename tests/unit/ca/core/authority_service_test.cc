// SPDX-License-Identifier: Apache-2.0
// Enrolment from a request of `openssl req` to what `openssl verify` says of the certificate.
#include "core/authority_service.h"

#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/join_token.h"
#include "core_case.h"
#include "issuer_server.h"
#include "ledger/verify.h"
#include "service_accounts.h"
#include "testing/shell.h"
#include "testing/skip.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::ServiceAccounts;
using testing::Shell;

const std::string kNode = "spiffe://test.example/cluster/east/node/n1";
const std::string kOther = "spiffe://test.example/cluster/east/node/n2";
const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";

// One authority on the store.
struct Replica {
  Replica(std::shared_ptr<Store> store, const KeyStore& keys, const std::string& directory,
          AuthorityService::Options options, IssuerKeys::Options issuers = {})
      : ledger(*Ledger::Open(store, {})),
        registry(*Registry::Start(store, *ledger,
                                  {.trust_domain = kDomain,
                                   .keys = keys,
                                   .directories = {directory},
                                   .interval = milliseconds(5),
                                   .tick = milliseconds(20),
                                   .issuers = std::move(issuers)},
                                  nullptr)),
        service(std::make_unique<AuthorityService>(store, *ledger, *registry, options)) {}

  absl::StatusOr<Enrolled> Enrol(CertificateRequest request) {
    std::promise<absl::StatusOr<Enrolled>> promise;
    service->Enrol(std::move(request), [&](absl::StatusOr<Enrolled> enrolled) {
      promise.set_value(std::move(enrolled));
    });
    return promise.get_future().get();
  }

  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<AuthorityService> service;
};

class AuthorityServiceTest : public CoreCase {
 protected:
  AuthorityServiceTest() {
    AddCluster("east");
    Register("east", {.issuer = ServiceAccounts::kIssuer,
                      .jwks = accounts_.Jwks(),
                      .agent_namespace = "tombolo",
                      .agent_account = "agent"});
    std::ofstream(directory_ / "directory.yaml") << R"(trust_domain: test.example
clusters:
  - name: east
    nodes:
      - {name: n1, tunnel: "10.0.0.1:15008"}
      - {name: n2, tunnel: "10.0.0.2:15008"}
workloads:
  - {name: web, cluster: east, node: n1, namespace: shop, service_account: web}
)";
    replica_ = NewReplica({});
  }

  std::unique_ptr<Replica> NewReplica(AuthorityService::Options options,
                                      IssuerKeys::Options issuers = {}) {
    // A store of its own, as another process has it.
    return std::make_unique<Replica>(*SqliteStore::Open({.path = directory_ / "ca.db"}), keys_,
                                     directory_ / "directory.yaml", options, issuers);
  }

  // A request in DER by a new key, as `openssl req` makes it.
  std::string OpensslCsr(const std::string& names, const std::string& key =
                                                       "ec -pkeyopt "
                                                       "ec_paramgen_curve:P-256") {
    const std::string file = directory_ / "csr.der";
    const std::string san = names.empty() ? "" : " -addext 'subjectAltName=" + names + "'";
    const auto made =
        Shell("openssl req -new -newkey " + key + " -nodes -keyout " + (directory_ / "key.pem") +
              " -subj '/CN=give me everything' -outform DER -out " + file + san);
    EXPECT_EQ(made.status, 0) << made.output;
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // The same without the command, for tests that are about something else.
  static std::string Csr(const std::string& id) {
    return *tls::MakeCsr(*tls::GenerateKey(), *SpiffeId::Parse(id));
  }

  std::string NewToken(const std::string& id, std::chrono::seconds ttl = std::chrono::minutes(5)) {
    const std::string text = NewJoinToken();
    const auto record = MakeTokenRecord(text, *SpiffeId::Parse(id), kDomain,
                                        std::chrono::system_clock::now() + ttl);
    const auto added = Ledger::Await(
        [&](Ledger::Done done) { ledger_->AddToken(*record, "test", std::move(done)); });
    EXPECT_TRUE(added.ok()) << added.status();
    return text;
  }
  // As judged by the newest bundle.
  Peer Svid(const std::string& id, const std::string& serial = "4b") const {
    return {.id = *SpiffeId::Parse(id),
            .serial = serial,
            .not_after = std::chrono::system_clock::now() + std::chrono::hours(1),
            .judged_by = State().sequence()};
  }
  // Of a certificate that has been issued to `id`.
  std::string SerialOf(const std::string& id) const {
    const auto issued = Reader(*store_).Certificates("", 100);
    for (const Certificate& one : *issued) {
      if (one.subject == id) return one.serial;
    }
    return "";
  }
  CertificateRequest By(const std::string& csr, const std::string& id) const {
    return {.csr = csr, .renew = false, .peer = Svid(id), .token = {}, .address = "10.0.0.9"};
  }
  static CertificateRequest ByToken(const std::string& csr, const std::string& token) {
    return {.csr = csr, .renew = false, .peer = {}, .token = token, .address = "10.0.0.9"};
  }

  void ExpectVerifies(const Enrolled& enrolled) {
    std::ofstream(directory_ / "roots.pem") << replica_->registry->view()->roots;
    std::ofstream(directory_ / "chain.pem") << enrolled.certificates;
    for (const char* purpose : {"sslclient", "sslserver"}) {
      const auto verified = Shell("openssl verify -x509_strict -purpose " + std::string(purpose) +
                                  " -CAfile " + (directory_ / "roots.pem") + " -untrusted " +
                                  (directory_ / "chain.pem") + " " + (directory_ / "chain.pem"));
      EXPECT_EQ(verified.status, 0) << verified.output;
    }
  }
  void ExpectRefused(absl::StatusCode code, const std::string& why, CertificateRequest request) {
    const auto enrolled = replica_->Enrol(std::move(request));
    EXPECT_EQ(enrolled.status().code(), code) << enrolled.status();
    EXPECT_THAT(std::string(enrolled.status().message()), HasSubstr(why));
  }
  std::vector<std::string> Events(const std::string& event) const {
    std::vector<std::string> found;
    const auto entries = Reader(*store_).Entries(0, 1000);
    for (const AuditEntry& entry : *entries) {
      if (entry.event == event) found.push_back(entry.subject);
    }
    return found;
  }
  std::vector<std::string> Findings() const { return Verify(*store_, "")->findings; }
  // Until the replica has seen what the test's own ledger wrote last.
  void AwaitReplica() const {
    const auto head = Reader(*store_).FindHead()->head;
    for (int i = 0; i < 1000; ++i) {
      const Basis basis = replica_->registry->view()->state.basis;
      if (basis.revocation == head.revocation && basis.document == head.document) return;
      std::this_thread::sleep_for(milliseconds(5));
    }
    ADD_FAILURE() << "the replica does not follow";
  }

  ServiceAccounts accounts_;
  std::unique_ptr<Replica> replica_;
};

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

TEST_F(AuthorityServiceTest, ATokenIsAnsweredAgainForTheSameKey) {
  const std::string token = NewToken(kNode);
  const std::string key = *tls::GenerateKey();
  const auto csr = [&] { return *tls::MakeCsr(key, *SpiffeId::Parse(kNode)); };
  const auto first = replica_->Enrol(ByToken(csr(), token));
  ASSERT_TRUE(first.ok()) << first.status();
  ExpectRefused(absl::StatusCode::kUnauthenticated, "used already", ByToken(Csr(kNode), token));
  const auto again = replica_->Enrol(ByToken(csr(), token));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->certificates, first->certificates) << "another one, with a number of its own";
}

TEST_F(AuthorityServiceTest, ATokenIsSpentOnce) {
  const std::string token = NewToken(kNode);
  ASSERT_TRUE(replica_->Enrol(ByToken(Csr(kNode), token)).ok());
  ExpectRefused(absl::StatusCode::kUnauthenticated, "used already", ByToken(Csr(kNode), token));
}

TEST_F(AuthorityServiceTest, TwoReplicasSpendATokenOnce) {
  const auto other = NewReplica({});
  for (int round = 0; round < 10; ++round) {
    const std::string token = NewToken(kNode);
    std::atomic<int> issued = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        Replica& replica = i % 2 == 0 ? *replica_ : *other;
        const auto enrolled = replica.Enrol(ByToken(Csr(kNode), token));
        if (enrolled.ok()) ++issued;
        if (absl::IsUnauthenticated(enrolled.status())) ++refused;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(issued, 1);
    EXPECT_EQ(refused, 7);
  }
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(AuthorityServiceTest, WhoeverIsRevokedGetsNothingFromThenOn) {
  ASSERT_TRUE(replica_->Enrol(By(Csr(kNode), kNode)).ok());
  Revoke(Kind::kNode, kNode);
  // Whether the replica has seen it or not.
  const auto at_once = replica_->Enrol(By(Csr(kNode), kNode));
  EXPECT_FALSE(at_once.ok());
  AwaitReplica();
  // Its ledger has not written since, and has to notice that others have.
  EXPECT_TRUE(replica_->Enrol(By(Csr(kOther), kOther)).ok());
  ExpectRefused(absl::StatusCode::kPermissionDenied, "revoked", By(Csr(kNode), kNode));
  EXPECT_EQ(Events("certificate issued").size(), 2u + 1u /* its own */ + (at_once.ok() ? 1u : 0u));
}

TEST_F(AuthorityServiceTest, AReplicaThatIsBehindIssuesNothing) {
  replica_.reset();
  Replica slow(*SqliteStore::Open({.path = directory_ / "ca.db"}), keys_,
               directory_ / "directory.yaml", {});
  slow.service.reset();
  slow.registry = *Registry::Start(
      store_, *slow.ledger,
      {.trust_domain = kDomain, .keys = keys_, .interval = std::chrono::hours(1)}, nullptr);
  slow.service = std::make_unique<AuthorityService>(store_, *slow.ledger, *slow.registry,
                                                    AuthorityService::Options{});
  ASSERT_TRUE(slow.Enrol(By(Csr(kNode), kNode)).ok());
  std::this_thread::sleep_for(milliseconds(100));  // past the first look of its Changes
  const CertificateRequest request = By(Csr(kNode), kNode);
  Revoke(Kind::kWorkload, kWeb);
  const auto enrolled = slow.Enrol(request);
  EXPECT_TRUE(absl::IsUnavailable(enrolled.status())) << enrolled.status();
  slow.service.reset();
}

TEST_F(AuthorityServiceTest, ACallerIsJudgedByTheTrustThatSigns) {
  const CertificateRequest before = By(Csr(kNode), kNode);
  AddCluster("west");
  AwaitReplica();
  ExpectRefused(absl::StatusCode::kUnavailable, "judged by another trust bundle", before);
  const CertificateRequest after = By(Csr(kNode), kNode);
  Revoke(Kind::kWorkload, kWeb);
  AwaitReplica();
  EXPECT_TRUE(replica_->Enrol(after).ok())
      << "a revocation changes nothing of who vouches for whom";
  CertificateRequest ahead = after;
  ahead.peer->judged_by = State().sequence() + 1;
  ExpectRefused(absl::StatusCode::kUnavailable, "judged by another trust bundle", ahead);
  EXPECT_EQ(replica_->service->counters().issued, 1u);
  CertificateRequest token = ByToken(Csr(kNode), NewToken(kNode));
  EXPECT_TRUE(replica_->Enrol(token).ok()) << "nobody has judged who shows no SVID";
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

TEST_F(AuthorityServiceTest, AWorkloadsRenewalStaysWithItsNode) {
  const auto first = replica_->Enrol(By(Csr(kWeb), kNode));
  ASSERT_TRUE(first.ok()) << first.status();
  CertificateRequest renewal{.csr = Csr(kWeb),
                             .renew = true,
                             .peer = Svid(kWeb, SerialOf(kWeb)),
                             .token = {},
                             .address = {}};
  ASSERT_TRUE(replica_->Enrol(renewal).ok());
  const auto renewed = Reader(*store_).Certificates("", 100);
  for (const Certificate& one : *renewed) {
    if (one.subject != kWeb) continue;
    EXPECT_EQ(one.node, "east/n1");
  }
  Revoke(Kind::kNode, kNode);
  AwaitReplica();
  ExpectRefused(absl::StatusCode::kPermissionDenied, "revoked", renewal);
}

TEST_F(AuthorityServiceTest, AWorkloadWithoutARecordRenewsNothing) {
  ExpectRefused(absl::StatusCode::kPermissionDenied, "no record of the client certificate 4b",
                By(Csr(kWeb), kWeb));
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
