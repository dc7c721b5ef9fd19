// SPDX-License-Identifier: Apache-2.0
#include "tls/handshake.h"

#include <cerrno>
#include <utility>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/credentials_impl.h"
#include "tls/kernel_record_stream.h"
#include "tls/kernel_tls.h"
#include "tls/openssl.h"
#include "tls/ssl_context.h"
#include "tls/user_record_stream.h"

namespace tombolo::tls {
namespace {

absl::Status TransportError(absl::string_view what) {
  return HandshakeError(HandshakeFailure::kTransport, what);
}

absl::Status OpensslFailure() {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  return HandshakeErrorOf(error);
}

absl::Status FailureOf(const HandshakeState& state, int ssl_error, int system_error) {
  // A callback knows better than the error that OpenSSL makes of its refusal.
  if (!state.failure.ok()) return state.failure;
  if (ssl_error == SSL_ERROR_SYSCALL) {
    return TransportError(system_error == 0 ? "TCP ended during the handshake"
                                            : ErrnoStatus(system_error, "handshake").message());
  }
  return OpensslFailure();
}

Awaitable<absl::Status> WaitFor(net::AsyncFd& socket, int ssl_error, MonotonicTime deadline) {
  // OpenSSL wants something only after the socket has said EAGAIN.
  absl::Status waited;
  if (ssl_error == SSL_ERROR_WANT_READ) {
    socket.ClearReadable();
    waited = co_await socket.WaitReadable(deadline);
  } else {
    socket.ClearWritable();
    waited = co_await socket.WaitWritable(deadline);
  }
  if (absl::IsDeadlineExceeded(waited)) {
    co_return HandshakeError(HandshakeFailure::kTimeout, "handshake timed out");
  }
  co_return waited;
}

Awaitable<absl::Status> DoHandshake(SSL* ssl, net::AsyncFd& socket, const HandshakeState& state,
                                    MonotonicTime deadline) {
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(ssl);
    const int system_error = errno;
    if (result == 1) co_return absl::OkStatus();
    const int error = SSL_get_error(ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      co_return FailureOf(state, error, system_error);
    }
    CO_RETURN_IF_ERROR(co_await WaitFor(socket, error, deadline));
  }
}

// What must hold before records may be read and written without OpenSSL.
absl::Status CheckHandedOver(SSL* ssl, const HandshakeState& state) {
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &size);
  if (absl::string_view(reinterpret_cast<const char*>(alpn), size) != Alpn(state.protocol)) {
    return HandshakeError(HandshakeFailure::kProtocol,
                          absl::StrCat("the peer did not choose ALPN ", Alpn(state.protocol)));
  }
  if (SSL_version(ssl) != TLS1_3_VERSION || SSL_session_reused(ssl) == 1) {
    return HandshakeError(HandshakeFailure::kProtocol, "not a full TLS 1.3 handshake");
  }
  if (SSL_has_pending(ssl) != 0 || SSL_pending(ssl) != 0) {
    return absl::InternalError("OpenSSL has read past the handshake");
  }
  if (state.client_secret.empty() || state.server_secret.empty() || state.peer.empty()) {
    return absl::InternalError("OpenSSL did not give the traffic secrets");
  }
  return absl::OkStatus();
}

SessionInfo InfoOf(SSL* ssl, const HandshakeState& state) {
  const X509* peer = SSL_get0_peer_certificate(ssl);
  const char* group = SSL_group_to_name(ssl, static_cast<int>(SSL_get_negotiated_group(ssl)));
  return {.local = state.credentials->id(),
          .peer = state.peer,
          .peer_serial = SerialHex(peer),
          .peer_not_after = ToWallTime(X509_get0_notAfter(peer)),
          .local_not_after = state.credentials->not_after(),
          .version = SSL_get_version(ssl),
          .cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)),
          .group = group == nullptr ? "" : group,
          .sni = state.sni};
}

absl::StatusOr<std::unique_ptr<RecordStream>> NewStream(net::AsyncFd socket, TrafficSecrets secrets,
                                                        const RecordSettings& records) {
  if (records.kernel.Carries(secrets.suite)) {
    auto stream = KernelRecordStream::Create(std::move(socket), std::move(secrets), records.buffers,
                                             records.kernel);
    if (!stream.ok()) {
      // A peer that has gone already is not this kernel's doing.
      const bool gone = absl::IsUnavailable(stream.status());
      return HandshakeError(gone ? HandshakeFailure::kTransport : HandshakeFailure::kKernelTls,
                            stream.status().message());
    }
    return *std::move(stream);
  }
  ASSIGN_OR_RETURN(RecordKeys keys, RecordKeys::Derive(std::move(secrets)));
  return std::make_unique<UserRecordStream>(std::move(socket), std::move(keys), records.buffers);
}

// Takes the keys out of `ssl`, which is not used afterwards. Freeing it neither
// writes a close_notify nor closes the socket (quiet shutdown, BIO_NOCLOSE).
absl::StatusOr<Session> HandOver(SSL* ssl, HandshakeState& state, net::AsyncFd socket,
                                 const RecordSettings& records) {
  RETURN_IF_ERROR(CheckHandedOver(ssl, state));
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ASSIGN_OR_RETURN(const Suite suite,
                   SuiteFromNumber(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))));
  TrafficSecrets secrets{.suite = suite,
                         .send = std::move(state.client_secret),
                         .receive = std::move(state.server_secret)};
  if (SSL_is_server(ssl)) std::swap(secrets.send, secrets.receive);
  ASSIGN_OR_RETURN(auto stream, NewStream(std::move(socket), std::move(secrets), records));
  return Session{.info = InfoOf(ssl, state), .stream = std::move(stream)};
}

absl::Status AttachUlp(int fd) {
  absl::Status attached = kernel::AttachUlp(fd);
  if (attached.ok()) return attached;
  // It takes established connections only.
  return HandshakeError(
      ErrnoOf(attached) == ENOTCONN ? HandshakeFailure::kTransport : HandshakeFailure::kKernelTls,
      attached.message());
}

absl::StatusOr<SslPtr> NewSsl(SSL_CTX* context, const net::AsyncFd& socket, HandshakeState& state,
                              const RecordSettings& records) {
  // Before the handshake: a kernel or another program that stands in the way of TLS
  // on this socket is found while nothing has been said yet.
  if (records.kernel.any()) RETURN_IF_ERROR(AttachUlp(socket.get()));
  SslPtr ssl(SSL_new(context));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), socket.get()) != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, "SSL_new");
  }
  Attach(ssl.get(), &state);
  const std::string wire = AlpnWire(state.protocol);
  // Returns 0 for success. A server's is chosen by OnAlpn.
  if (SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                          static_cast<unsigned>(wire.size())) != 0) {
    return OpensslStatus(absl::StatusCode::kInternal, "set ALPN");
  }
  return ssl;
}

}  // namespace

Awaitable<absl::StatusOr<Session>> HandshakeAsClient(net::AsyncFd socket,
                                                     CredentialsPtr credentials, std::string sni,
                                                     SpiffeId expected, RecordSettings records,
                                                     MonotonicTime deadline, Protocol protocol) {
  if (expected.empty()) co_return absl::InvalidArgumentError("no server identity to expect");
  HandshakeState state;
  state.protocol = protocol;
  state.credentials = credentials;
  state.expected = std::move(expected);
  state.sni = sni;
  CO_ASSIGN_OR_RETURN(const SslPtr ssl,
                      NewSsl(credentials->impl().client.get(), socket, state, records));
  SSL_set_connect_state(ssl.get());
  if (SSL_set_tlsext_host_name(ssl.get(), sni.c_str()) != 1) {
    co_return OpensslStatus(absl::StatusCode::kInvalidArgument, absl::StrCat("SNI '", sni, "'"));
  }
  CO_RETURN_IF_ERROR(co_await DoHandshake(ssl.get(), socket, state, deadline));
  co_return HandOver(ssl.get(), state, std::move(socket), records);
}

Awaitable<absl::StatusOr<Session>> HandshakeAsServer(net::AsyncFd socket, CredentialsBySni find,
                                                     RecordSettings records, MonotonicTime deadline,
                                                     Protocol protocol) {
  HandshakeState state;
  state.protocol = protocol;
  state.find = &find;
  CO_ASSIGN_OR_RETURN(SSL_CTX* const context, SniContext());
  CO_ASSIGN_OR_RETURN(const SslPtr ssl, NewSsl(context, socket, state, records));
  SSL_set_accept_state(ssl.get());
  CO_RETURN_IF_ERROR(co_await DoHandshake(ssl.get(), socket, state, deadline));
  co_return HandOver(ssl.get(), state, std::move(socket), records);
}

}  // namespace tombolo::tls
