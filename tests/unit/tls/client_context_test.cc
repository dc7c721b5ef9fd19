// SPDX-License-Identifier: Apache-2.0
#include "tls/client_context.h"

#include <array>
#include <chrono>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raw_peer.h"
#include "testing/loopback_listener.h"
#include "testing/test_pki.h"
#include "tls/public_key.h"

namespace tombolo::tls {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::RawPeer;
using testing::TestPki;

// A server for localhost and 127.0.0.1.
class ClientContextTest : public ::testing::Test {
 protected:
  ClientContextTest() {
    options_.server = true;
    options_.key = *GenerateKey();
    options_.alpn.clear();
    const SigningKey key = *SigningKey::FromPem(options_.key, "server.key");
    options_.chain = *pki_.issuer().IssueLeaf({.id = pki_.Id("/ca"),
                                               .key = key.public_key(),
                                               .validity = Validity::FromNow(seconds(3600)),
                                               .hosts = {"localhost", "127.0.0.1"}});
  }

  ClientContext::Pem Trusting(const TestPki& pki) const {
    return {.roots = pki.bundle(), .roots_name = "ca.pem"};
  }

  absl::StatusOr<std::unique_ptr<BlockingStream>> Connect(const ClientContext::Pem& pem,
                                                          const std::string& host,
                                                          const RawPeer::Then& then) {
    const auto context = ClientContext::FromPem(pem);
    if (!context.ok()) return context.status();
    auto below = ConnectTcp("127.0.0.1", listener_.port(), After(seconds(5)));
    if (!below.ok()) return below.status();
    peer_ = std::make_unique<RawPeer>(listener_.Accept(), options_, then);
    return (*context)->Connect(*std::move(below), host, After(seconds(5)));
  }
  absl::Status Try(const ClientContext::Pem& pem, const std::string& host) {
    return Connect(pem, host, [](SSL*) {}).status();
  }

  const TestPki pki_;
  RawPeer::Options options_;
  const testing::LoopbackListener listener_;
  std::unique_ptr<RawPeer> peer_;
};

// Sends back what comes, until the client ends.
void Echo(SSL* ssl) {
  std::array<char, 70000> part;
  for (int got; (got = SSL_read(ssl, part.data(), part.size())) > 0;) {
    SSL_write(ssl, part.data(), got);
  }
}

TEST_F(ClientContextTest, CarriesBothWays) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    options_.max_version = version;
    auto stream = Connect(Trusting(pki_), "localhost", Echo);
    ASSERT_TRUE(stream.ok()) << stream.status();
    EXPECT_TRUE((*stream)->Quiet());
    const std::string sent(50000, 'x');
    ASSERT_TRUE((*stream)->Send(sent, After(seconds(5))).ok());
    std::string received;
    while (received.size() < sent.size()) {
      std::array<char, 5000> part;
      const auto got = (*stream)->Receive(absl::MakeSpan(part), After(seconds(5)));
      ASSERT_TRUE(got.ok() && *got > 0) << got.status();
      received.append(part.data(), *got);
    }
    EXPECT_EQ(received, sent);
    EXPECT_TRUE((*stream)->Quiet());
    std::array<char, 1> more;
    EXPECT_TRUE(absl::IsDeadlineExceeded(
        (*stream)->Receive(absl::MakeSpan(more), After(std::chrono::milliseconds(50))).status()));
    stream->reset();
    peer_->Join();
  }
}

TEST_F(ClientContextTest, TellsAnEndFromACut) {
  std::array<char, 1> part;
  auto ended = Connect(Trusting(pki_), "localhost", [](SSL* ssl) { SSL_shutdown(ssl); });
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*(*ended)->Receive(absl::MakeSpan(part), After(seconds(5))), 0);
  auto cut = Connect(Trusting(pki_), "localhost", [](SSL*) {});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_TRUE(
      absl::IsUnavailable((*cut)->Receive(absl::MakeSpan(part), After(seconds(5))).status()));
}

TEST_F(ClientContextTest, TheServerMustBeTheOneThatWasMeant) {
  EXPECT_TRUE(Try(Trusting(pki_), "127.0.0.1").ok());
  const absl::Status name = Try(Trusting(pki_), "example.org");
  EXPECT_TRUE(absl::IsPermissionDenied(name)) << name;
  EXPECT_THAT(std::string(name.message()), HasSubstr("hostname mismatch"));
  const absl::Status address = Try(Trusting(pki_), "127.0.0.2");
  EXPECT_THAT(std::string(address.message()), HasSubstr("IP address mismatch"));
  EXPECT_FALSE(Try(Trusting(pki_), "").ok());
}

TEST_F(ClientContextTest, TheServerMustBeVouchedFor) {
  const TestPki other;
  const absl::Status status = Try(Trusting(other), "localhost");
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the server's certificate: "));
}

TEST_F(ClientContextTest, ShowsItsCertificate) {
  const Credentials::Pem own = pki_.Issue("/ns/a/sa/b");
  ClientContext::Pem pem = Trusting(pki_);
  pem.chain = own.chain;
  pem.key = own.key;
  bool shown = false;
  auto stream = Connect(pem, "localhost", [&](SSL* ssl) {
    const X509Ptr certificate(SSL_get1_peer_certificate(ssl));
    shown = certificate != nullptr;
  });
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_TRUE(peer_->Join());
  EXPECT_TRUE(shown);
}

TEST_F(ClientContextTest, RefusesHalvesAndRubbish) {
  ClientContext::Pem pem = Trusting(pki_);
  pem.chain = pki_.Issue("/a").chain;
  EXPECT_TRUE(absl::IsInvalidArgument(ClientContext::FromPem(pem).status())) << "no key";
  pem.key = *GenerateKey();
  pem.key_name = "client.key";
  EXPECT_THAT(std::string(ClientContext::FromPem(pem).status().message()),
              HasSubstr("client.key: not the key of"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      ClientContext::FromPem({.roots = "no PEM", .roots_name = "ca.pem"}).status()));
}

TEST_F(ClientContextTest, DoesNotWaitForASilentServer) {
  const auto context = *ClientContext::FromPem(Trusting(pki_));
  auto below = ConnectTcp("127.0.0.1", listener_.port(), After(seconds(5)));
  ASSERT_TRUE(below.ok());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      context->Connect(*std::move(below), "localhost", After(std::chrono::milliseconds(50)))
          .status()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
}

}  // namespace
}  // namespace tombolo::tls
