// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/asio.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "net/async_fd.h"
#include "tls/credentials.h"
#include "tls/handshake_failure.h"
#include "tls/record_settings.h"
#include "tls/record_stream.h"

namespace tombolo::tls {

// What a finished handshake established.
struct SessionInfo {
  SpiffeId local;
  SpiffeId peer;
  std::string peer_serial;  // hex
  WallTime peer_not_after;
  WallTime local_not_after;
  std::string version;  // "TLSv1.3"
  std::string cipher;   // "TLS_AES_128_GCM_SHA256"
  std::string group;    // "x25519", "X25519MLKEM768": IANA's names
  std::string sni;
};

// What a connection is for. Either end refuses another one than it has named: a link is never taken
// for a tunnel.
enum class Protocol {
  kTunnel,  // ALPN tombolo/1
  kLink,    // ALPN tombolo-link/1, between gateways
};

struct Session {
  SessionInfo info;
  std::unique_ptr<RecordStream> stream;
};

// A failed handshake's Status carries a HandshakeFailure, except Cancelled. The
// process must ignore SIGPIPE: OpenSSL writes without MSG_NOSIGNAL.

// Performs the client's handshake on a connected socket: TLS 1.3 only, the protocol's ALPN,
// no tickets. The server must present a valid SVID that is exactly
// `expected`. Where `records` names the kernel for the suite that is chosen, it gets
// the keys, and a kernel that then refuses them fails the handshake. In TLS 1.3 the client is done
// before the server has judged its certificate: a refusal is PermissionDenied
// from the stream's first receiving call.
Awaitable<absl::StatusOr<Session>> HandshakeAsClient(net::AsyncFd socket,
                                                     CredentialsPtr credentials, std::string sni,
                                                     SpiffeId expected, RecordSettings records,
                                                     MonotonicTime deadline,
                                                     Protocol protocol = Protocol::kTunnel);

// The credentials to present for an SNI, or null: no such name here.
using CredentialsBySni = std::function<CredentialsPtr(absl::string_view sni)>;

// The server's side. Any valid SVID of the own trust domain is accepted; who
// may do what is asked later. `find` is called on this thread during the
// handshake.
Awaitable<absl::StatusOr<Session>> HandshakeAsServer(net::AsyncFd socket, CredentialsBySni find,
                                                     RecordSettings records, MonotonicTime deadline,
                                                     Protocol protocol = Protocol::kTunnel);

}  // namespace tombolo::tls
