// SPDX-License-Identifier: Apache-2.0
// Handshakes between our two sides, and every way in which one is refused.
#include "tls/handshake.h"

#include <csignal>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include "loop.h"
#include "raw_peer.h"
#include "stream_pair.h"
#include "testing/test_pki.h"
#include "tls/alert.h"
#include "tls/trust_bundle.h"

namespace tombolo::tls {
namespace {

using ::testing::AnyOf;
using testing::BytesOf;
using testing::Flaw;
using ::testing::HasSubstr;
using testing::Loop;
using testing::RawPeer;
using ::testing::StrEq;
using testing::TcpPair;
using testing::TestPki;
using testing::TextOf;

constexpr char kSni[] = "a.test.example";

MonotonicTime Soon() { return After(std::chrono::seconds(30)); }

class HandshakeTest : public ::testing::Test {
 protected:
  HandshakeTest() { std::signal(SIGPIPE, SIG_IGN); }

  CredentialsBySni Find() const {
    return [this](absl::string_view sni) { return sni == kSni ? server_ : nullptr; };
  }

  // Our server against a raw client; the failure, or kNone.
  HandshakeFailure ServeRaw(RawPeer::Options options) {
    auto [ours, theirs] = TcpPair();
    RawPeer peer(std::move(theirs), std::move(options));
    result_ = loop_.Run(HandshakeAsServer(loop_.Adopt(std::move(ours)), Find(), records_, Soon()));
    return ReasonOf(result_->status());
  }

  // Our client against a raw server.
  HandshakeFailure DialRaw(RawPeer::Options options) {
    options.server = true;
    auto [ours, theirs] = TcpPair();
    RawPeer peer(std::move(theirs), std::move(options));
    result_ = loop_.Run(HandshakeAsClient(loop_.Adopt(std::move(ours)), client_, kSni,
                                          pki_.Id("/server"), records_, Soon()));
    return ReasonOf(result_->status());
  }

  static RawPeer::Options With(const Credentials::Pem& pem) {
    RawPeer::Options options;
    options.chain = pem.chain;
    options.key = pem.key;
    return options;
  }

  Loop loop_;
  net::BufferPool pool_;
  RecordSettings records_{pool_, testing::KernelUnderTest()};
  TestPki pki_;
  CredentialsPtr client_ = pki_.Credentials("/client");
  CredentialsPtr server_ = pki_.Credentials("/server");
  std::optional<absl::StatusOr<Session>> result_;
};

TEST_F(HandshakeTest, OurSidesAgree) {
  auto [a, b] = TcpPair();
  auto dialed = loop_.Start(HandshakeAsClient(loop_.Adopt(std::move(a)), client_, kSni,
                                              pki_.Id("/server"), records_, Soon()));
  auto accepted =
      loop_.Start(HandshakeAsServer(loop_.Adopt(std::move(b)), Find(), records_, Soon()));
  ASSERT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
  ASSERT_TRUE((*dialed)->ok()) << (*dialed)->status();
  ASSERT_TRUE((*accepted)->ok()) << (*accepted)->status();
  const SessionInfo& info = (**dialed)->info;
  EXPECT_EQ(info.local, pki_.Id("/client"));
  EXPECT_EQ(info.peer, pki_.Id("/server"));
  EXPECT_EQ(info.peer_serial, server_->serial());
  EXPECT_EQ(info.peer_not_after, server_->not_after());
  EXPECT_EQ(info.version, "TLSv1.3");
  EXPECT_THAT(info.cipher, AnyOf(StrEq("TLS_AES_128_GCM_SHA256"), StrEq("TLS_AES_256_GCM_SHA384")));
  // At run time: the library may be newer than what this was built with.
  const bool has_hybrid = OpenSSL_version_num() >= 0x30500000;
  EXPECT_EQ(info.group, has_hybrid ? "X25519MLKEM768" : "x25519");
  EXPECT_EQ(info.sni, kSni);
  EXPECT_EQ((**accepted)->info.local, pki_.Id("/server"));
  EXPECT_EQ((**accepted)->info.peer, pki_.Id("/client"));
  EXPECT_EQ((**accepted)->info.sni, kSni);
  RecordStream& near = *(**dialed)->stream;
  RecordStream& far = *(**accepted)->stream;
  EXPECT_EQ(near.layer(), testing::LayerUnderTest());
  EXPECT_EQ(far.layer(), testing::LayerUnderTest());
  EXPECT_TRUE(near.quiet() && far.quiet());
  EXPECT_EQ(near.usage().sent + near.usage().received, 0);
  ASSERT_TRUE(loop_.Run(near.Send(BytesOf("up"), Soon())).ok());
  EXPECT_EQ(TextOf(loop_.Run(far.Receive(Soon()))->payload), "up");
  ASSERT_TRUE(loop_.Run(far.Send(BytesOf("down"), Soon())).ok());
  EXPECT_EQ(TextOf(loop_.Run(near.Receive(Soon()))->payload), "down");
}

struct FlawCase {
  Flaw flaw;
  HandshakeFailure expected;
};

constexpr FlawCase kFlaws[] = {
    {Flaw::kNone, HandshakeFailure::kNone},
    {Flaw::kExpired, HandshakeFailure::kExpired},
    {Flaw::kNotYetValid, HandshakeFailure::kExpired},
    {Flaw::kOtherTrustDomain, HandshakeFailure::kWrongTrustDomain},
    {Flaw::kTwoUriNames, HandshakeFailure::kBadSvid},
    {Flaw::kNoUriName, HandshakeFailure::kBadSvid},
    {Flaw::kNotSpiffe, HandshakeFailure::kBadSvid},
    {Flaw::kNoPath, HandshakeFailure::kBadSvid},
    {Flaw::kCa, HandshakeFailure::kBadSvid},
    {Flaw::kKeyCertSign, HandshakeFailure::kBadSvid},
    {Flaw::kNoDigitalSignature, HandshakeFailure::kBadSvid},
    {Flaw::kNoKeyUsage, HandshakeFailure::kBadSvid},
    {Flaw::kKeyUsageNotCritical, HandshakeFailure::kBadSvid},
    {Flaw::kOnlyServerAuth, HandshakeFailure::kBadSvid},
    {Flaw::kOnlyClientAuth, HandshakeFailure::kBadSvid},
};

TEST_F(HandshakeTest, TheServerJudgesTheClientsSvid) {
  for (const FlawCase& c : kFlaws) {
    EXPECT_EQ(ServeRaw(With(pki_.Issue("/client", c.flaw))), c.expected)
        << static_cast<int>(c.flaw) << " " << result_->status();
  }
}

TEST_F(HandshakeTest, TheClientJudgesTheServersSvid) {
  for (const FlawCase& c : kFlaws) {
    // Without digitalSignature OpenSSL itself will not sign with the key.
    if (c.flaw == Flaw::kNoDigitalSignature) continue;
    EXPECT_EQ(DialRaw(With(pki_.Issue("/server", c.flaw))), c.expected)
        << static_cast<int>(c.flaw) << " " << result_->status();
  }
}

TEST_F(HandshakeTest, AnotherRootIsUntrusted) {
  const TestPki other;  // the same trust domain, another key
  EXPECT_EQ(ServeRaw(With(other.Issue("/client"))), HandshakeFailure::kUntrusted);
  EXPECT_TRUE(absl::IsUnauthenticated(result_->status()));
  EXPECT_EQ(DialRaw(With(other.Issue("/server"))), HandshakeFailure::kUntrusted);
  const TestPki stranger("other.example");
  EXPECT_EQ(ServeRaw(With(stranger.Issue("/client"))), HandshakeFailure::kUntrusted);
}

TEST_F(HandshakeTest, AFederatedTrustDomainVouchesForItsOwnAndForNobodyElse) {
  const TestPki other("other.example"), third("third.example");
  Credentials::Pem pem = pki_.Issue("/server");
  pem.bundle = *WriteTrustBundle(
      {.trust_domain = "test.example",
       .roots = pki_.bundle(),
       .federated = {{.trust_domain = "other.example", .roots = other.bundle()}}});
  server_ = *Credentials::FromPem(pem);
  EXPECT_EQ(ServeRaw(With(other.Issue("/client"))), HandshakeFailure::kNone) << result_->status();
  EXPECT_EQ((*result_)->info.peer, other.Id("/client"));
  EXPECT_EQ(ServeRaw(With(pki_.Issue("/client"))), HandshakeFailure::kNone) << result_->status();
  for (const FlawCase& c : kFlaws) {
    if (c.flaw == Flaw::kNoDigitalSignature || c.flaw == Flaw::kOtherTrustDomain) continue;
    const bool nameless = c.flaw == Flaw::kNoUriName || c.flaw == Flaw::kNotSpiffe;
    EXPECT_EQ(ServeRaw(With(other.Issue("/client", c.flaw))),
              nameless ? HandshakeFailure::kUntrusted : c.expected)
        << static_cast<int>(c.flaw) << " " << result_->status();
  }
  // Its name, signed by others: by our own root, and by one that nobody trusts.
  for (const TestPki* signer : {&std::as_const(pki_), &third}) {
    EXPECT_EQ(ServeRaw(With(signer->Issue("/client", Flaw::kOtherTrustDomain))),
              HandshakeFailure::kUntrusted);
  }
  EXPECT_EQ(ServeRaw(With(third.Issue("/client"))), HandshakeFailure::kUntrusted);
  // Not the other way round: who does not federate with it refuses it.
  server_ = pki_.Credentials("/server");
  EXPECT_EQ(ServeRaw(With(other.Issue("/client"))), HandshakeFailure::kUntrusted);
}

TEST_F(HandshakeTest, AValidSvidOfSomebodyElseIsUnexpected) {
  EXPECT_EQ(DialRaw(With(pki_.Issue("/impostor"))), HandshakeFailure::kUnexpectedIdentity);
  EXPECT_THAT(std::string(result_->status().message()), HasSubstr("test.example/impostor"));
}

TEST_F(HandshakeTest, AClientWithoutACertificateIsRefused) {
  EXPECT_EQ(ServeRaw({}), HandshakeFailure::kNoCertificate);
}

TEST_F(HandshakeTest, OlderVersionsAreRefused) {
  RawPeer::Options options = With(pki_.Issue("/client"));
  options.max_version = TLS1_2_VERSION;
  EXPECT_EQ(ServeRaw(options), HandshakeFailure::kProtocol);
  options = With(pki_.Issue("/server"));
  options.max_version = TLS1_2_VERSION;
  EXPECT_EQ(DialRaw(options), HandshakeFailure::kRefusedByPeer) << result_->status();
}

TEST_F(HandshakeTest, OtherProtocolsAreRefused) {
  for (const char* alpn : {"h2", ""}) {
    RawPeer::Options options = With(pki_.Issue("/client"));
    options.alpn = alpn;
    EXPECT_EQ(ServeRaw(options), HandshakeFailure::kProtocol) << alpn << result_->status();
    options = With(pki_.Issue("/server"));
    options.alpn = alpn;
    EXPECT_EQ(DialRaw(options), HandshakeFailure::kProtocol) << alpn << result_->status();
  }
}

TEST_F(HandshakeTest, UnknownNamesAreRefused) {
  for (const char* sni : {"b.test.example", ""}) {
    RawPeer::Options options = With(pki_.Issue("/client"));
    options.sni = sni;
    EXPECT_EQ(ServeRaw(options), HandshakeFailure::kUnknownName) << sni;
  }
}

TEST_F(HandshakeTest, TheDialerHearsOfAnUnknownName) {
  auto [a, b] = TcpPair();
  auto dialed = loop_.Start(HandshakeAsClient(loop_.Adopt(std::move(a)), client_, "b.test.example",
                                              pki_.Id("/server"), records_, Soon()));
  auto accepted =
      loop_.Start(HandshakeAsServer(loop_.Adopt(std::move(b)), Find(), records_, Soon()));
  ASSERT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
  EXPECT_EQ(ReasonOf((*dialed)->status()), HandshakeFailure::kUnknownName);
  EXPECT_THAT(std::string((*dialed)->status().message()), HasSubstr("unrecognized_name (112)"));
  EXPECT_TRUE(absl::IsNotFound((*dialed)->status()));
}

// The dialer's handshake is over before the server has judged it.
TEST_F(HandshakeTest, ARefusedCertificateArrivesOnTheFirstRead) {
  TestPki other;
  // A client that trusts the server's root and presents what that root did not sign.
  Credentials::Pem pem = other.Issue("/client");
  pem.bundle = other.bundle() + pki_.bundle();
  const CredentialsPtr client = *Credentials::FromPem(pem);
  auto [a, b] = TcpPair();
  auto dialed = loop_.Start(HandshakeAsClient(loop_.Adopt(std::move(a)), client, kSni,
                                              pki_.Id("/server"), records_, Soon()));
  auto accepted =
      loop_.Start(HandshakeAsServer(loop_.Adopt(std::move(b)), Find(), records_, Soon()));
  ASSERT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
  ASSERT_TRUE((*dialed)->ok()) << (*dialed)->status();
  EXPECT_EQ(ReasonOf((*accepted)->status()), HandshakeFailure::kUntrusted);
  const auto record = loop_.Run((**dialed)->stream->Receive(Soon()));
  EXPECT_TRUE(absl::IsPermissionDenied(record.status())) << record.status();
  EXPECT_THAT(std::string(record.status().message()), HasSubstr("(48)"));
}

TEST_F(HandshakeTest, ASilentPeerTimesOut) {
  for (const bool server : {true, false}) {
    auto [ours, theirs] = TcpPair();
    const MonotonicTime deadline = After(std::chrono::milliseconds(50));
    net::AsyncFd fd = loop_.Adopt(std::move(ours));
    const auto session =
        server ? loop_.Run(HandshakeAsServer(std::move(fd), Find(), records_, deadline))
               : loop_.Run(HandshakeAsClient(std::move(fd), client_, kSni, pki_.Id("/server"),
                                             records_, deadline));
    EXPECT_EQ(ReasonOf(session.status()), HandshakeFailure::kTimeout);
    EXPECT_TRUE(absl::IsDeadlineExceeded(session.status()));
  }
}

TEST_F(HandshakeTest, GarbageAndTheEndOfTcp) {
  for (const std::string text : {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x80\x2e\x01",
                                 "\x16\x03\x01\x00\x04\x02\x00\x00\x00"}) {
    auto [ours, theirs] = TcpPair();
    ASSERT_GT(send(theirs.get(), text.data(), text.size(), 0), 0);
    shutdown(theirs.get(), SHUT_WR);
    const auto session =
        loop_.Run(HandshakeAsServer(loop_.Adopt(std::move(ours)), Find(), records_, Soon()));
    EXPECT_THAT(ReasonOf(session.status()),
                AnyOf(HandshakeFailure::kProtocol, HandshakeFailure::kTransport))
        << session.status();
  }
  auto [ours, theirs] = TcpPair();
  theirs.Close();
  const auto session =
      loop_.Run(HandshakeAsServer(loop_.Adopt(std::move(ours)), Find(), records_, Soon()));
  EXPECT_EQ(ReasonOf(session.status()), HandshakeFailure::kTransport) << session.status();
  EXPECT_TRUE(absl::IsUnavailable(session.status()));
}

TEST_F(HandshakeTest, AClientMustExpectSomebody) {
  auto [ours, theirs] = TcpPair();
  EXPECT_TRUE(
      absl::IsInvalidArgument(loop_
                                  .Run(HandshakeAsClient(loop_.Adopt(std::move(ours)), client_,
                                                         kSni, SpiffeId(), records_, Soon()))
                                  .status()));
}

TEST(HandshakeFailureTest, Names) {
  EXPECT_EQ(Name(HandshakeFailure::kWrongTrustDomain), "wrong_trust_domain");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), HandshakeFailure::kNone);
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), HandshakeFailure::kNone);
}

}  // namespace
}  // namespace tombolo::tls
