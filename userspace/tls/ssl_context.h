// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "tls/handshake.h"
#include "tls/openssl.h"
#include "tls/secret.h"

// The SSL_CTXs of tunnels and links, and the callbacks that they share; what HTTPS has in common
// with them. Internal to tls.
namespace tombolo::tls {

absl::string_view Alpn(Protocol protocol);
// As a list of one, as it is on the wire (RFC 7301, section 3.1).
std::string AlpnWire(Protocol protocol);

// What the callbacks of one SSL object find out. Attached to it by Attach().
struct HandshakeState {
  Protocol protocol = Protocol::kTunnel;
  const CredentialsBySni* find = nullptr;  // server only
  CredentialsPtr credentials;              // the server's: once the SNI is known
  SpiffeId expected;                       // client only; empty: any of the trust domain
  SpiffeId peer;
  std::string sni;
  Secret client_secret, server_secret;
  absl::Status failure;  // why a callback refused
};

// `state` must outlive `ssl`.
void Attach(SSL* ssl, HandshakeState* state);

// A context for TLS 1.3 alone, of strict verification, and with nothing after the handshake. It has
// no certificate, no roots and no protocol yet, and does not ask for a peer's certificate.
absl::StatusOr<SslCtxPtr> NewTls13Context(bool server);

// A context with every setting of tunnels and links, but the ALPN protocol and a certificate.
absl::StatusOr<SslCtxPtr> NewContext(bool server);

// What an entry of OpenSSL's error queue says about a handshake that failed.
absl::Status HandshakeErrorOf(unsigned long error);

// The context that a server starts with: it only finds the credentials' own.
absl::StatusOr<SSL_CTX*> SniContext();

}  // namespace tombolo::tls
