// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/authority_service.h"
#include "core/join_token.h"
#include "core_case.h"
#include "ledger/verify.h"
#include "service_accounts.h"
#include "testing/shell.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"

namespace tombolo::ca {

inline const std::string kNode = "spiffe://test.example/cluster/east/node/n1";
inline const std::string kOther = "spiffe://test.example/cluster/east/node/n2";
inline const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";

// One authority on the store.
struct Replica {
  Replica(std::shared_ptr<Store> store, const KeyStore& keys, const std::string& directory,
          AuthorityService::Options options, IssuerKeys::Options issuers = {})
      : ledger(*Ledger::Open(store, {})),
        registry(*Registry::Start(store, *ledger,
                                  {.trust_domain = kDomain,
                                   .keys = keys,
                                   .directories = {directory},
                                   .interval = std::chrono::milliseconds(5),
                                   .tick = std::chrono::milliseconds(20),
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

// An authority with a cluster, its directory and its service accounts.
class AuthorityServiceCase : public CoreCase {
 protected:
  AuthorityServiceCase() {
    AddCluster("east");
    Register("east", {.issuer = testing::ServiceAccounts::kIssuer,
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
    const auto made = testing::Shell(
        "openssl req -new -newkey " + key + " -nodes -keyout " + (directory_ / "key.pem") +
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
      const auto verified =
          testing::Shell("openssl verify -x509_strict -purpose " + std::string(purpose) +
                         " -CAfile " + (directory_ / "roots.pem") + " -untrusted " +
                         (directory_ / "chain.pem") + " " + (directory_ / "chain.pem"));
      EXPECT_EQ(verified.status, 0) << verified.output;
    }
  }
  void ExpectRefused(absl::StatusCode code, const std::string& why, CertificateRequest request) {
    const auto enrolled = replica_->Enrol(std::move(request));
    EXPECT_EQ(enrolled.status().code(), code) << enrolled.status();
    EXPECT_THAT(std::string(enrolled.status().message()), ::testing::HasSubstr(why));
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
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "the replica does not follow";
  }

  testing::ServiceAccounts accounts_;
  std::unique_ptr<Replica> replica_;
};

}  // namespace tombolo::ca
