// SPDX-License-Identifier: Apache-2.0
#include "tls/https.h"

#include <array>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <gtest/gtest.h>

#include "net/socket.h"
#include "testing/cluster_pki.h"
#include "testing/test_pki.h"

namespace tombolo::tls {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using testing::ClusterPki;
using ContextPtr = std::shared_ptr<const HttpsContext>;
using Stream = asio::ssl::stream<tcp::socket>;

constexpr char kNode[] = "/cluster/east/node/n1";

// One end of a connection.
struct Side {
  std::unique_ptr<Stream> stream;
  std::optional<error_code> shaken;

  SSL* ssl() const { return stream->native_handle(); }
  HandshakeFailure failure() const { return ReasonOf(HttpsError(ssl(), *shaken)); }
};

class HttpsTest : public ::testing::Test {
 protected:
  Credentials::Pem Issue(const std::string& cluster, const std::string& path) const {
    return ClusterPki::Issue(pki_.issuer(cluster), path, pki_.Bundle());
  }
  static SpiffeId Authority() { return *SpiffeId::ForAuthority(ClusterPki::kDomain); }
  ContextPtr Server() const { return *HttpsContext::ForServer(Issue("", "/ca")); }
  ContextPtr Client(const std::optional<Credentials::Pem>& own) const {
    return *HttpsContext::ForClient(pki_.Bundle(), Authority(), own);
  }

  Side Wrap(Fd fd, const HttpsContext& context) {
    tcp::socket socket(io_);
    socket.assign(tcp::v4(), fd.Release());
    return {std::make_unique<Stream>(std::move(socket), context.context()), std::nullopt};
  }
  void Connect(const HttpsContext& server, const HttpsContext& client) {
    auto [near, far] = *net::LoopbackPair();
    client_ = Wrap(std::move(near), client);
    server_ = Wrap(std::move(far), server);
  }
  void Shake() {
    client_.stream->async_handshake(Stream::client, [&](error_code e) { client_.shaken = e; });
    server_.stream->async_handshake(Stream::server, [&](error_code e) { server_.shaken = e; });
    io_.restart();
    io_.run_for(std::chrono::seconds(30));
    ASSERT_TRUE(client_.shaken && server_.shaken) << "the handshake hangs";
  }
  void ConnectAndShake(const ContextPtr& server, const ContextPtr& client) {
    Connect(*server, *client);
    Shake();
  }
  // What the client's first read ends with.
  absl::Status ReadError() {
    absl::Status result;
    std::array<char, 16> room;
    client_.stream->async_read_some(asio::buffer(room), [&](error_code error, std::size_t) {
      result = HttpsError(client_.ssl(), error);
    });
    io_.restart();
    io_.run_for(std::chrono::seconds(30));
    return result;
  }

  ClusterPki pki_;
  asio::io_context io_;
  Side client_, server_;
};

TEST_F(HttpsTest, BothSidesLearnWhoTheOtherIs) {
  const Credentials::Pem own = Issue("east", kNode);
  ConnectAndShake(Server(), Client(own));
  ASSERT_FALSE(*client_.shaken) << client_.shaken->message();
  ASSERT_FALSE(*server_.shaken) << server_.shaken->message();
  const auto node = PeerOf(server_.ssl());
  ASSERT_TRUE(node.ok() && *node) << node.status();
  EXPECT_EQ((*node)->id.path(), kNode);
  const CredentialsPtr expected = *Credentials::FromPem(own);
  EXPECT_EQ((*node)->serial, expected->serial());
  EXPECT_EQ((*node)->not_after, expected->not_after());
  const auto authority = PeerOf(client_.ssl());
  ASSERT_TRUE(authority.ok() && *authority) << authority.status();
  EXPECT_EQ((*authority)->id, Authority());
}

TEST_F(HttpsTest, SpeaksTls13AndHttp11WithoutTickets) {
  ConnectAndShake(Server(), Client(std::nullopt));
  EXPECT_STREQ(SSL_get_version(client_.ssl()), "TLSv1.3");
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client_.ssl(), &alpn, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(alpn), size), "http/1.1");
  EXPECT_EQ(SSL_get_num_tickets(server_.ssl()), 0U);
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get_session(client_.ssl())), 0);
}

TEST_F(HttpsTest, RefusesOtherProtocolsAndTakesNone) {
  Connect(*Server(), *Client(std::nullopt));
  const unsigned char h2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(client_.ssl(), h2, sizeof(h2));
  Shake();
  EXPECT_EQ(server_.failure(), HandshakeFailure::kProtocol);
  EXPECT_EQ(client_.failure(), HandshakeFailure::kRefusedByPeer);

  Connect(*Server(), *Client(std::nullopt));
  SSL_set_alpn_protos(client_.ssl(), nullptr, 0);
  Shake();
  EXPECT_FALSE(*server_.shaken) << server_.shaken->message();
}

TEST_F(HttpsTest, WhoPresentsNothingIsNobody) {
  ConnectAndShake(Server(), Client(std::nullopt));
  ASSERT_FALSE(*server_.shaken) << server_.shaken->message();
  const auto peer = PeerOf(server_.ssl());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_FALSE(peer->has_value());
}

TEST_F(HttpsTest, NobodyIsKnownBeforeTheHandshake) {
  Connect(*Server(), *Client(std::nullopt));
  EXPECT_TRUE(absl::IsFailedPrecondition(PeerOf(server_.ssl()).status()));
}

TEST_F(HttpsTest, ClientRefusesAnotherIdentity) {
  ConnectAndShake(*HttpsContext::ForServer(Issue("east", kNode)), Client(std::nullopt));
  EXPECT_EQ(client_.failure(), HandshakeFailure::kUnexpectedIdentity);
  EXPECT_EQ(HttpsError(client_.ssl(), *client_.shaken).message(),
            "the peer is 'spiffe://test.example/cluster/east/node/n1', not "
            "'spiffe://test.example/ca'");
  EXPECT_EQ(server_.failure(), HandshakeFailure::kRefusedByPeer);
}

TEST_F(HttpsTest, ClientRefusesAServerOfAnotherRoot) {
  const testing::TestPki other;
  ConnectAndShake(*HttpsContext::ForServer(other.Issue("/ca")), Client(std::nullopt));
  EXPECT_EQ(client_.failure(), HandshakeFailure::kUntrusted);
}

TEST_F(HttpsTest, ServerRefusesAClientOfAnotherRoot) {
  const testing::TestPki other;
  ConnectAndShake(Server(), Client(other.Issue(kNode)));
  EXPECT_EQ(server_.failure(), HandshakeFailure::kUntrusted);
  const absl::Status read = ReadError();
  EXPECT_EQ(ReasonOf(read), HandshakeFailure::kRefusedByPeer) << read;
}

TEST_F(HttpsTest, BindingsToClustersHoldForBothSides) {
  TrustBundle unbound = pki_.Bundle();
  unbound.bindings.reset();
  const auto stolen = ClusterPki::Issue(pki_.issuer("west"), kNode, unbound);
  ConnectAndShake(Server(), Client(stolen));
  EXPECT_EQ(server_.failure(), HandshakeFailure::kWrongCluster);

  const auto false_authority = ClusterPki::Issue(pki_.issuer("west"), "/ca", unbound);
  ConnectAndShake(*HttpsContext::ForServer(false_authority), Client(std::nullopt));
  EXPECT_EQ(client_.failure(), HandshakeFailure::kWrongCluster);
}

TEST_F(HttpsTest, AnEarlierPeerIsJudgedByAnotherContext) {
  ConnectAndShake(Server(), Client(Issue("east", kNode)));
  ASSERT_FALSE(*server_.shaken);
  EXPECT_TRUE(Server()->CheckAgain(server_.ssl()).ok());
  TrustBundle without_east = pki_.Bundle();
  without_east.bindings->clusters.erase(pki_.issuer("east").public_key().id());
  const auto later =
      *HttpsContext::ForServer(ClusterPki::Issue(pki_.issuer(""), "/ca", without_east));
  EXPECT_EQ(ReasonOf(later->CheckAgain(server_.ssl())), HandshakeFailure::kWrongCluster);
  const testing::TestPki other;
  const auto foreign = *HttpsContext::ForServer(other.Issue("/ca"));
  EXPECT_EQ(ReasonOf(foreign->CheckAgain(server_.ssl())), HandshakeFailure::kUntrusted);

  ConnectAndShake(Server(), Client(std::nullopt));
  EXPECT_TRUE(foreign->CheckAgain(server_.ssl()).ok());
}

TEST_F(HttpsTest, AStreamOutlivesItsContext) {
  Connect(*Server(), *Client(Issue("east", kNode)));
  Shake();
  EXPECT_FALSE(*server_.shaken) << server_.shaken->message();
  EXPECT_FALSE(*client_.shaken) << client_.shaken->message();
}

TEST_F(HttpsTest, RefusesWhatCannotBeUsed) {
  Credentials::Pem foreign = Issue("east", kNode);
  foreign.bundle = testing::TestPki().bundle();
  EXPECT_FALSE(HttpsContext::ForServer(foreign).ok());
  EXPECT_FALSE(HttpsContext::ForClient(pki_.Bundle(), Authority(), foreign).ok());
  EXPECT_FALSE(HttpsContext::ForClient(pki_.Bundle(), SpiffeId(), std::nullopt).ok());
  TrustBundle empty = pki_.Bundle();
  empty.roots = "";
  EXPECT_FALSE(HttpsContext::ForClient(empty, Authority(), std::nullopt).ok());
}

}  // namespace
}  // namespace tombolo::tls
