// SPDX-License-Identifier: Apache-2.0
// Our records against OpenSSL's own, in both roles and with every suite.
#include <algorithm>
#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop.h"
#include "raw_peer.h"
#include "stream_pair.h"
#include "testing/test_pki.h"
#include "tls/handshake.h"

namespace tombolo::tls {
namespace {

using testing::Bytes;
using ::testing::HasSubstr;
using testing::Loop;
using testing::Pattern;
using testing::RawPeer;
using testing::TcpPair;
using testing::TestPki;

constexpr char kSni[] = "a.test.example";
constexpr std::size_t kBulk = 3'000'017;

MonotonicTime Soon() { return After(std::chrono::seconds(30)); }

bool WriteAll(SSL* ssl, const Bytes& data) {
  std::size_t written = 0;
  return SSL_write_ex(ssl, data.data(), data.size(), &written) == 1 && written == data.size();
}

Bytes ReadExactly(SSL* ssl, std::size_t size) {
  Bytes data(size);
  std::size_t done = 0;
  for (std::size_t got = 0; done < size; done += got) {
    if (SSL_read_ex(ssl, data.data() + done, size - done, &got) != 1) break;
  }
  data.resize(done);
  return data;
}

class LivePeerTest : public ::testing::Test {
 protected:
  LivePeerTest() { std::signal(SIGPIPE, SIG_IGN); }

  // Our side after a handshake with a raw peer that then does `then`.
  Session Meet(bool we_serve, const std::string& suites, RawPeer::Then then) {
    auto [ours, theirs] = TcpPair();
    const Credentials::Pem pem = pki_.Issue("/peer");
    RawPeer::Options options;
    options.server = !we_serve;
    options.chain = pem.chain;
    options.key = pem.key;
    options.suites = suites;
    peer_ = std::make_unique<RawPeer>(std::move(theirs), options, std::move(then));
    const auto find = [this](absl::string_view) { return own_; };
    net::AsyncFd fd = loop_.Adopt(std::move(ours));
    absl::StatusOr<Session> session =
        we_serve ? loop_.Run(HandshakeAsServer(std::move(fd), find, Records(), Soon()))
                 : loop_.Run(HandshakeAsClient(std::move(fd), own_, kSni, pki_.Id("/peer"),
                                               Records(), Soon()));
    if (!session.ok()) ADD_FAILURE() << session.status();
    EXPECT_EQ(session->stream->layer(), testing::LayerUnderTest());
    return *std::move(session);
  }

  RecordSettings Records() { return {pool_, testing::KernelUnderTest()}; }

  Bytes ReceiveBytes(RecordStream& stream, std::size_t size) {
    Bytes all;
    while (all.size() < size) {
      const auto record = loop_.Run(stream.Receive(Soon()));
      if (!record.ok()) {
        ADD_FAILURE() << record.status();
        break;
      }
      all.insert(all.end(), record->payload.begin(), record->payload.end());
    }
    return all;
  }

  Loop loop_;
  net::BufferPool pool_;
  TestPki pki_;
  CredentialsPtr own_ = pki_.Credentials("/own");
  std::unique_ptr<RawPeer> peer_;
};

TEST_F(LivePeerTest, BulkBothWaysInEverySuite) {
  const Bytes data = Pattern(kBulk);
  for (const bool we_serve : {false, true}) {
    for (const char* suite :
         {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
      Bytes got;
      Session session = Meet(we_serve, suite, [&](SSL* ssl) {
        got = ReadExactly(ssl, kBulk);
        EXPECT_TRUE(WriteAll(ssl, data));
        SSL_shutdown(ssl);
      });
      EXPECT_EQ(session.info.cipher, suite);
      EXPECT_TRUE(loop_.Run(session.stream->Send(data, Soon())).ok());
      EXPECT_EQ(ReceiveBytes(*session.stream, kBulk), data);
      EXPECT_TRUE(absl::IsOutOfRange(loop_.Run(session.stream->Receive(Soon())).status()));
      EXPECT_TRUE(peer_->Join());
      EXPECT_EQ(got, data);
    }
  }
}

// Nobody has to pad, and we never do; who is told to expect none (TLS_RX_EXPECT_NO_PAD) has to
// take it all the same.
TEST_F(LivePeerTest, PaddedRecordsAmongOthersAreReadWhole) {
  const Bytes data = Pattern(400'000);
  Session session = Meet(true, "TLS_AES_128_GCM_SHA256", [&](SSL* ssl) {
    for (std::size_t sent = 0, number = 0; sent < data.size(); ++number) {
      const std::size_t piece =
          std::min<std::size_t>(1 + number * 997 % 20'000, data.size() - sent);
      SSL_set_block_padding(ssl, number % 3 == 0 ? 0 : 1024);
      EXPECT_TRUE(WriteAll(ssl, {data.begin() + sent, data.begin() + sent + piece}));
      sent += piece;
    }
    SSL_shutdown(ssl);
  });
  EXPECT_EQ(ReceiveBytes(*session.stream, data.size()), data);
  EXPECT_TRUE(absl::IsOutOfRange(loop_.Run(session.stream->Receive(Soon())).status()));
  EXPECT_TRUE(peer_->Join());
}

TEST_F(LivePeerTest, OurCloseNotifyIsUnderstood) {
  int error = 0;
  Session session = Meet(false, "", [&](SSL* ssl) {
    char byte;
    error = SSL_get_error(ssl, SSL_read(ssl, &byte, 1));
  });
  loop_.Run(session.stream->CloseNotify(Soon()));
  peer_->Join();
  EXPECT_EQ(error, SSL_ERROR_ZERO_RETURN);
}

TEST_F(LivePeerTest, OurClosingWithoutItIsATruncation) {
  int error = 0;
  Session session = Meet(true, "", [&](SSL* ssl) {
    char byte;
    error = SSL_get_error(ssl, SSL_read(ssl, &byte, 1));
  });
  session.stream.reset();
  peer_->Join();
  EXPECT_EQ(error, SSL_ERROR_SSL);
}

TEST_F(LivePeerTest, TheirTruncationIsDataLoss) {
  Session session = Meet(true, "", [&](SSL* ssl) { WriteAll(ssl, Pattern(10)); });
  EXPECT_EQ(ReceiveBytes(*session.stream, 10), Pattern(10));
  EXPECT_TRUE(absl::IsDataLoss(loop_.Run(session.stream->Receive(Soon())).status()));
}

TEST_F(LivePeerTest, TheirAlertIsARefusal) {
  // An unprotected record makes OpenSSL answer with an alert.
  Session session = Meet(false, "", [&](SSL* ssl) {
    char byte;
    SSL_read(ssl, &byte, 1);
  });
  // Below the kernel's records nothing can be written.
  if (session.stream->layer() == RecordLayer::kKernel) return;
  const char garbage[] = "\x17\x03\x03\x00\x20";
  ASSERT_EQ(send(session.stream->socket().get(), garbage, 5, MSG_NOSIGNAL), 5);
  const Bytes body(32, 7);
  ASSERT_EQ(send(session.stream->socket().get(), body.data(), 32, MSG_NOSIGNAL), 32);
  const auto record = loop_.Run(session.stream->Receive(Soon()));
  EXPECT_TRUE(absl::IsPermissionDenied(record.status())) << record.status();
  EXPECT_THAT(std::string(record.status().message()), HasSubstr("bad_record_mac (20)"));
}

// OpenSSL changes its key in the middle, and asks for ours to change too.
TEST_F(LivePeerTest, TheirKeyUpdateIsFollowedAndAnswered) {
  const Bytes data = Pattern(kBulk);
  Bytes got;
  Session session = Meet(false, "", [&](SSL* ssl) {
    WriteAll(ssl, data);
    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    WriteAll(ssl, data);
    got = ReadExactly(ssl, kBulk);
  });
  EXPECT_EQ(ReceiveBytes(*session.stream, kBulk), data);
  if (!session.stream->can_rekey()) {
    EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(session.stream->Receive(Soon())).status()));
    return;
  }
  EXPECT_EQ(ReceiveBytes(*session.stream, kBulk), data);
  EXPECT_TRUE(loop_.Run(session.stream->Send(data, Soon())).ok());
  peer_->Join();
  EXPECT_EQ(got, data);
  EXPECT_EQ(session.stream->usage().sent, (kBulk + kMaxPlaintext - 1) / kMaxPlaintext);
}

TEST_F(LivePeerTest, OurKeyUpdatesAreFollowed) {
  const Bytes data = Pattern(kBulk);
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    Bytes got;
    Session session = Meet(true, suite, [&](SSL* ssl) { got = ReadExactly(ssl, 3 * kBulk); });
    if (!session.stream->can_rekey()) GTEST_SKIP() << "this kernel cannot change keys (Linux 6.14)";
    session.stream->RekeyEvery(2);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(loop_.Run(session.stream->Send(data, Soon())).ok());
    peer_->Join();
    ASSERT_EQ(got.size(), 3 * kBulk);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), got.begin() + kBulk));
  }
}

TEST_F(LivePeerTest, EarlyApplicationDataIsNotLost) {
  // The client's first records ride right behind its Finished.
  Session session = Meet(true, "", [&](SSL* ssl) {
    WriteAll(ssl, Pattern(50'000));
    SSL_shutdown(ssl);
  });
  EXPECT_EQ(ReceiveBytes(*session.stream, 50'000), Pattern(50'000));
}

}  // namespace
}  // namespace tombolo::tls
