// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>

#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/credentials.h"
#include "tls/handshake_failure.h"
#include "tls/trust_anchors.h"
#include "tls/trust_bundle.h"

// HTTPS between identities, for Asio's streams: who is who is said by SVIDs, host names by nobody.
namespace tombolo::tls {

// A TLS context for HTTPS by SPIFFE identities, one side's: TLS 1.3, http/1.1 and no resumption.
// Immutable; any thread. A stream may outlive it.
class HttpsContext {
 public:
  // Presents `own`; asks for a client's SVID and verifies it, when there is one, against own's
  // bundle.
  static absl::StatusOr<std::shared_ptr<const HttpsContext>> ForServer(const Credentials::Pem& own);
  // Accepts only a server whose SVID is `server` below `trust`; presents `own`, which has to hold
  // against its own bundle, when it is set.
  static absl::StatusOr<std::shared_ptr<const HttpsContext>> ForClient(
      const TrustBundle& trust, const SpiffeId& server, const std::optional<Credentials::Pem>& own);
  // The same with what others have, too. `own` may be null.
  static absl::StatusOr<std::shared_ptr<const HttpsContext>> ForClient(TrustAnchorsPtr trust,
                                                                       const SpiffeId& server,
                                                                       const CredentialsPtr& own);

  boost::asio::ssl::context& context() const {
    return *context_;
  }  // for ssl::stream; not to be changed

  // Whether this context accepts now the peer of a handshake that is long over, and that another
  // context may have made. A peer that presented nothing is accepted.
  absl::Status CheckAgain(SSL* ssl) const;
  std::uint64_t sequence() const { return sequence_; }  // of the trust bundle that it judges by

  struct Rules;  // what a peer is judged by

 private:
  HttpsContext(SSL_CTX* context, std::uint64_t sequence);
  static absl::StatusOr<std::shared_ptr<const HttpsContext>> Create(bool server, Rules rules,
                                                                    const Credentials* own);

  const std::unique_ptr<boost::asio::ssl::context> context_;
  const std::uint64_t sequence_;
};

// Who is at the other end.
struct HttpsPeer {
  SpiffeId id;
  std::string serial;  // hex
  WallTime not_after;
};

// Of a finished handshake; nullopt: the peer presented none.
absl::StatusOr<std::optional<HttpsPeer>> PeerOf(SSL* ssl);

// Says to the server which host is wanted (SNI), for whatever chooses between servers on the way.
// An address is no SNI (RFC 6066, section 3), and nothing is said. Who the server is its SVID says.
// For a client's `ssl` that has not begun.
absl::Status SetServerName(SSL* ssl, const std::string& host);

// What `error`, of an operation of Asio's stream, means: a Status that carries a HandshakeFailure.
// In TLS 1.3 a client is done before the server has judged its certificate: that refusal is an
// error of its first read.
absl::Status HttpsError(SSL* ssl, const boost::system::error_code& error);

}  // namespace tombolo::tls
