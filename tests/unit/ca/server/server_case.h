// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "fake_authority.h"
#include "raw_client.h"
#include "server/https_server.h"
#include "testing/cluster_pki.h"
#include "testing/openssl_command.h"
#include "tls/csr.h"
#include "tls/pkcs7.h"

namespace tombolo::ca::https {

inline constexpr char kNodePath[] = "/cluster/east/node/n1";
inline constexpr char kWorkloadPath[] = "/cluster/east/ns/shop/sa/web";

// A server whose authority is a fake, and who may ask it: by curl, or byte for byte.
class ServerCase : public testing::OpensslCommandTest {
 protected:
  using ContextPtr = std::shared_ptr<const tls::HttpsContext>;
  using ClusterPki = testing::ClusterPki;

  ServerCase() { Publish(7); }

  void Start(const ServerLimits& limits = {}, int threads = 2) {
    auto server = HttpsServer::Start({.listen = {*net::SocketAddress::Parse("127.0.0.1:0")},
                                      .threads = threads,
                                      .limits = limits},
                                     ServerContext(pki_.Bundle()), authority_.handlers());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // spiffe://test.example/ca, which curl knows as 127.0.0.1.
  ContextPtr ServerContext(const tls::TrustBundle& bundle) const {
    const std::string key = *tls::GenerateKey();
    const std::string leaf =
        *pki_.issuer("").IssueLeaf({.id = Authority(),
                                    .key = tls::SigningKey::FromPem(key, "key")->public_key(),
                                    .validity = tls::Validity::FromNow(std::chrono::hours(1)),
                                    .hosts = {"localhost", "127.0.0.1"}});
    return *tls::HttpsContext::ForServer({.chain = leaf + pki_.issuer("").chain(),
                                          .key = key,
                                          .bundle = *tls::WriteTrustBundle(bundle),
                                          .chain_name = "svid.pem",
                                          .key_name = "key.pem",
                                          .bundle_name = "bundle.json"});
  }
  static SpiffeId Authority() { return *SpiffeId::ForAuthority(ClusterPki::kDomain); }
  tls::Credentials::Pem Issue(const std::string& path, const std::string& cluster = "east") const {
    return ClusterPki::Issue(pki_.issuer(cluster), path, pki_.Bundle());
  }
  ContextPtr ClientContext(const std::optional<tls::Credentials::Pem>& own) const {
    return *tls::HttpsContext::ForClient(pki_.Bundle(), Authority(), own);
  }

  RawClient Connect() { return RawClient(address(), ClientContext(std::nullopt)); }
  RawClient ConnectAs(const std::string& path) {
    return RawClient(address(), ClientContext(Issue(path)));
  }
  net::SocketAddress address() const { return server_->addresses().front(); }

  void Publish(std::uint64_t sequence) {
    authority_.Publish({.roots = pki_.root(),
                        .bundle = absl::StrCat("{\"spiffe_sequence\":", sequence, "}\n"),
                        .sequence = sequence,
                        .crls = {{std::string(64, 'a'), "\x30\x03 crl"}}});
    if (server_ != nullptr) server_->Changed();
  }

  // Leaf and intermediate for the key of a real request, as the authority would.
  absl::StatusOr<std::string> IssueFor(const EnrolRequest& request) const {
    const absl::StatusOr<tls::Csr> csr = tls::ParseCsr(request.csr);
    if (!csr.ok()) return csr.status();
    const std::string leaf = *pki_.issuer("east").IssueLeaf(
        {.id = *SpiffeId::Parse(std::string("spiffe://test.example") + kWorkloadPath),
         .key = csr->key,
         .validity = tls::Validity::FromNow(std::chrono::hours(1))});
    return leaf + pki_.issuer("east").chain();
  }

  // Waits for what other threads are about to do.
  template <typename Predicate>
  static bool Eventually(Predicate holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  ClusterPki pki_;
  FakeAuthority authority_;
  std::unique_ptr<HttpsServer> server_;
};

// The same with curl, which trusts root.pem and nothing else.
class CurlCase : public ServerCase {
 protected:
  void SetUp() override {
    ServerCase::SetUp();
    if (IsSkipped()) return;
    if (testing::Shell("curl --version").status != 0) TOMBOLO_SKIP_WITHOUT("the curl command");
    Write("root.pem", pki_.root());
    authority_.ReplyWith([this](const EnrolRequest& request) { return IssueFor(request); });
  }

  struct Response {
    std::string status;  // "200", or curl's own words
    std::string head, body;
  };
  Response Curl(const std::string& arguments, const std::string& path) {
    Write("head", "");
    Write("body", "");
    const auto done =
        testing::Shell(absl::StrCat("cd ", directory_,
                                    " && curl -sS -m 30 --cacert root.pem -o body -D head "
                                    "-w '%{http_code}' ",
                                    arguments, " https://", address().ToString(), path));
    return {done.output, Read("head"), Read("body")};
  }
  // With a new key, in csr.b64. The argument for curl.
  std::string NewCsr() {
    const auto made = Openssl(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj /CN=x "
        "-outform DER -out csr.der && openssl base64 -in csr.der -out csr.b64");
    EXPECT_EQ(made.status, 0) << made.output;
    return "--data-binary @csr.b64 -H 'Content-Type: application/pkcs10'";
  }
  // Arguments for curl that present the SVID.
  std::string As(const tls::Credentials::Pem& own) {
    Write("client.pem", own.chain);
    Write("client.key", own.key);
    return "--cert client.pem --key client.key ";
  }
  // The body has a leaf that root.pem vouches for, with its intermediate.
  void ExpectEnrolled(const Response& response) {
    EXPECT_EQ(response.status, "200") << response.body;
    EXPECT_THAT(response.head, ::testing::HasSubstr(
                                   "Content-Type: application/pkcs7-mime; smime-type=certs-only"));
    Write("answer.b64", response.body);
    const auto read = Openssl(
        "base64 -d -in answer.b64 -out answer.der && openssl pkcs7 -inform DER "
        "-in answer.der -print_certs -out got.pem");
    EXPECT_EQ(read.status, 0) << read.output;
    const auto leaf_first = tls::ReadCertsOnly(Read("answer.der"));
    ASSERT_TRUE(leaf_first.ok()) << leaf_first.status();
    ExpectVerifies(*leaf_first, Read("got.pem"), pki_.root());
  }
};

inline constexpr char kEnrol[] = "/.well-known/est/simpleenroll";
inline constexpr char kReenrol[] = "/.well-known/est/simplereenroll";

}  // namespace tombolo::ca::https
