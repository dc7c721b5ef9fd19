// SPDX-License-Identifier: Apache-2.0
#include "tls/ssl_context.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <openssl/err.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/credentials_impl.h"
#include "tls/key_schedule.h"
#include "tls/svid.h"

namespace tombolo::tls {
namespace {

constexpr int kMaxChainDepth = 4;           // intermediates between leaf and root
constexpr long kMaxChainBytes = 32 * 1024;  // a peer's whole certificate message
constexpr int kSecurityLevel = 2;           // 112 bits: no RSA below 2048, no SHA-1

int StateIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

HandshakeState& StateOf(const SSL* ssl) {
  return *static_cast<HandshakeState*>(SSL_get_ex_data(ssl, StateIndex()));
}

// The identity of the peer, or what is wrong with its chain.
absl::StatusOr<SpiffeId> VerifyPeer(X509_STORE_CTX* context, const HandshakeState& state) {
  const Credentials::Impl& own = state.credentials->impl();
  ASSIGN_OR_RETURN(SpiffeId peer, VerifyFederatedChain(context, *own.trust));
  if (state.expected.empty() || peer == state.expected) return peer;
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return HandshakeError(
      HandshakeFailure::kUnexpectedIdentity,
      absl::StrCat("the peer is '", peer.text(), "', not '", state.expected.text(), "'"));
}

int OnVerify(X509_STORE_CTX* context, void*) {
  const void* ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
  HandshakeState& state = StateOf(static_cast<const SSL*>(ssl));
  absl::StatusOr<SpiffeId> peer = VerifyPeer(context, state);
  if (!peer.ok()) {
    state.failure = peer.status();
    return 0;
  }
  state.peer = *std::move(peer);
  return 1;
}

// NSS key log format: "<label> <client random> <secret>", in hex.
void OnKeyLog(const SSL* ssl, const char* line) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3) return;
  Secret HandshakeState::*member = nullptr;
  if (parts[0] == "CLIENT_TRAFFIC_SECRET_0") member = &HandshakeState::client_secret;
  if (parts[0] == "SERVER_TRAFFIC_SECRET_0") member = &HandshakeState::server_secret;
  if (member == nullptr) return;
  std::string bytes = absl::HexStringToBytes(parts[2]);
  StateOf(ssl).*member = Secret(
      absl::MakeConstSpan(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

// What is chosen has to outlive the call, so it is the client's own copy of it.
int OnAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
           unsigned in_size, void*) {
  const absl::string_view wanted = Alpn(StateOf(ssl).protocol);
  absl::string_view offered(reinterpret_cast<const char*>(in), in_size);
  while (!offered.empty()) {
    const std::size_t size =
        std::min<std::size_t>(static_cast<unsigned char>(offered[0]), offered.size() - 1);
    const absl::string_view name = offered.substr(1, size);
    if (name == wanted) {
      *out = reinterpret_cast<const unsigned char*>(name.data());
      *out_size = static_cast<unsigned char>(name.size());
      return SSL_TLSEXT_ERR_OK;
    }
    offered.remove_prefix(1 + size);
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol
}

// OpenSSL does not call OnAlpn for a client that offers no protocol at all.
int OnClientHello(SSL* ssl, int* alert, void*) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                &size) == 1) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  StateOf(ssl).failure = HandshakeError(HandshakeFailure::kProtocol, "client offers no ALPN");
  *alert = kNoApplicationProtocol;
  return SSL_CLIENT_HELLO_ERROR;
}

int OnServerName(SSL* ssl, int* alert, void*) {
  HandshakeState& state = StateOf(ssl);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  state.sni = name == nullptr ? "" : name;
  if (name != nullptr) state.credentials = (*state.find)(state.sni);
  if (state.credentials == nullptr ||
      SSL_set_SSL_CTX(ssl, state.credentials->impl().server.get()) == nullptr) {
    state.failure = HandshakeError(HandshakeFailure::kUnknownName,
                                   absl::StrCat("no credentials for SNI '", state.sni, "'"));
    *alert = kUnrecognizedName;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_OK;
}

bool SetGroups(SSL_CTX* context) {
  // The hybrid group exists from OpenSSL 3.5 on.
  const bool hybrid = SSL_CTX_set1_groups_list(context, "X25519MLKEM768:X25519:P-256") == 1;
  return hybrid || SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1;
}

void SetOptions(SSL_CTX* context) {
  // Nothing follows the handshake: no tickets, no resumption, no early data, no
  // dummy change_cipher_spec.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_recv_max_early_data(context, 0);
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_set_quiet_shutdown(context, 1);
  SSL_CTX_set_max_cert_list(context, kMaxChainBytes);
  SSL_CTX_set_verify_depth(context, kMaxChainDepth);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
}

}  // namespace

absl::string_view Alpn(Protocol protocol) {
  return protocol == Protocol::kLink ? "tombolo-link/1" : "tombolo/1";
}

std::string AlpnWire(Protocol protocol) {
  const absl::string_view name = Alpn(protocol);
  return absl::StrCat(std::string(1, static_cast<char>(name.size())), name);
}

void Attach(SSL* ssl, HandshakeState* state) { SSL_set_ex_data(ssl, StateIndex(), state); }

absl::StatusOr<SslCtxPtr> NewTls13Context(bool server) {
  SslCtxPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return OpensslStatus(absl::StatusCode::kInternal, "SSL_CTX_new");
  SSL_CTX_set_security_level(context.get(), kSecurityLevel);
  SetOptions(context.get());
  if (SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), kSuiteNames) != 1 || !SetGroups(context.get()) ||
      SSL_CTX_set_num_tickets(context.get(), 0) != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, "set up TLS 1.3");
  }
  return context;
}

absl::StatusOr<SslCtxPtr> NewContext(bool server) {
  ASSIGN_OR_RETURN(SslCtxPtr context, NewTls13Context(server));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), OnVerify, nullptr);
  SSL_CTX_set_keylog_callback(context.get(), OnKeyLog);
  if (server) {
    SSL_CTX_set_alpn_select_cb(context.get(), OnAlpn, nullptr);
    SSL_CTX_set_client_hello_cb(context.get(), OnClientHello, nullptr);
    SSL_CTX_set_tlsext_servername_callback(context.get(), OnServerName);
  }
  return context;
}

absl::StatusOr<SSL_CTX*> SniContext() {
  static const absl::StatusOr<SslCtxPtr> context = NewContext(/*server=*/true);
  if (!context.ok()) return context.status();
  return context->get();
}

absl::Status HandshakeErrorOf(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  const bool from_ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
  const char* text = ERR_reason_error_string(error);
  const std::string message = text == nullptr ? "handshake failed" : text;
  if (from_ssl && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
    const auto alert = static_cast<std::uint8_t>(reason - SSL_AD_REASON_OFFSET);
    return HandshakeError(alert == SSL_AD_UNRECOGNIZED_NAME ? HandshakeFailure::kUnknownName
                                                            : HandshakeFailure::kRefusedByPeer,
                          absl::StrCat("the peer sent alert ", AlertName(alert)));
  }
  if (from_ssl && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return HandshakeError(HandshakeFailure::kNoCertificate, message);
  }
  if (from_ssl && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return HandshakeError(HandshakeFailure::kTransport, "TCP ended during the handshake");
  }
  return HandshakeError(HandshakeFailure::kProtocol, message);
}

}  // namespace tombolo::tls
