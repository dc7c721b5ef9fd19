// SPDX-License-Identifier: Apache-2.0
#include "tls/https.h"

#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "net/address.h"
#include "tls/credentials_impl.h"
#include "tls/openssl.h"
#include "tls/ssl_context.h"
#include "tls/svid.h"
#include "tls/trust_store.h"

namespace tombolo::tls {

// What a peer is judged by.
struct HttpsContext::Rules {
  TrustAnchorsPtr trust;
  SpiffeId expected;  // empty: any of the trust domain

  // Runs OpenSSL's own verification on `context`, too.
  absl::Status Judge(X509_STORE_CTX* context) const;
};

namespace {

constexpr char kAlpnHttp[] = "\x08http/1.1";

// Objects of this module that live as long as OpenSSL's that they are attached to.
template <typename T>
void DeleteAttached(void*, void* attached, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<T*>(attached);
}

int RulesIndex() {
  static const int index =
      SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, DeleteAttached<HttpsContext::Rules>);
  return index;
}

// Of a handshake's absl::Status: why its verification failed.
int FailureIndex() {
  static const int index =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, DeleteAttached<absl::Status>);
  return index;
}

void Remember(SSL* ssl, absl::Status failure) {
  delete static_cast<absl::Status*>(SSL_get_ex_data(ssl, FailureIndex()));
  auto kept = std::make_unique<absl::Status>(std::move(failure));
  if (SSL_set_ex_data(ssl, FailureIndex(), kept.get()) == 1) (void)kept.release();
}

int OnVerify(X509_STORE_CTX* context, void* rules) {
  void* const ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
  absl::Status judged = static_cast<const HttpsContext::Rules*>(rules)->Judge(context);
  if (judged.ok()) return 1;
  Remember(static_cast<SSL*>(ssl), std::move(judged));
  return 0;
}

// Who offers no protocol at all is taken to speak it: clients of HTTPS are as old as that.
int OnAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
           unsigned in_size, void*) {
  const auto* wanted = reinterpret_cast<const unsigned char*>(kAlpnHttp);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, wanted, sizeof(kAlpnHttp) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status SetAlpn(SSL_CTX* context, bool server) {
  if (server) {
    SSL_CTX_set_alpn_select_cb(context, OnAlpn, nullptr);
    return absl::OkStatus();
  }
  const auto* alpn = reinterpret_cast<const unsigned char*>(kAlpnHttp);
  if (SSL_CTX_set_alpn_protos(context, alpn, sizeof(kAlpnHttp) - 1) == 0) return absl::OkStatus();
  return OpensslStatus(absl::StatusCode::kInternal, "set ALPN");
}

// Takes certificate, key and chain from where they have been checked.
absl::Status Present(const Credentials& own, SSL_CTX* context) {
  const SSL_CTX* from = own.impl().server.get();
  STACK_OF(X509)* above = nullptr;
  SSL_CTX_get0_chain_certs(const_cast<SSL_CTX*>(from), &above);
  if (SSL_CTX_use_cert_and_key(context, SSL_CTX_get0_certificate(from),
                               SSL_CTX_get0_privatekey(from), above, /*override=*/1) == 1) {
    return absl::OkStatus();
  }
  return OpensslStatus(absl::StatusCode::kInternal, "use certificate and key");
}

}  // namespace

absl::Status HttpsContext::Rules::Judge(X509_STORE_CTX* context) const {
  ASSIGN_OR_RETURN(const SpiffeId peer, VerifyChain(context, trust->bundle()));
  if (expected.empty() || peer == expected) return absl::OkStatus();
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return HandshakeError(
      HandshakeFailure::kUnexpectedIdentity,
      absl::StrCat("the peer is '", peer.text(), "', not '", expected.text(), "'"));
}

HttpsContext::HttpsContext(SSL_CTX* context, std::uint64_t sequence)
    : context_(std::make_unique<boost::asio::ssl::context>(context)), sequence_(sequence) {}

absl::StatusOr<std::shared_ptr<const HttpsContext>> HttpsContext::ForServer(
    const Credentials::Pem& own) {
  ASSIGN_OR_RETURN(const CredentialsPtr credentials, Credentials::FromPem(own));
  return Create(/*server=*/true, {.trust = credentials->trust(), .expected = {}},
                credentials.get());
}

absl::StatusOr<std::shared_ptr<const HttpsContext>> HttpsContext::ForClient(
    const TrustBundle& trust, const SpiffeId& server, const std::optional<Credentials::Pem>& own) {
  CredentialsPtr credentials;
  if (own) {
    ASSIGN_OR_RETURN(credentials, Credentials::FromPem(*own));
  }
  ASSIGN_OR_RETURN(TrustAnchorsPtr anchors, TrustAnchors::Of(trust, "trust bundle"));
  return ForClient(std::move(anchors), server, credentials);
}

absl::StatusOr<std::shared_ptr<const HttpsContext>> HttpsContext::ForClient(
    TrustAnchorsPtr trust, const SpiffeId& server, const CredentialsPtr& own) {
  if (server.empty()) return absl::InvalidArgumentError("no server identity to expect");
  return Create(/*server=*/false, {.trust = std::move(trust), .expected = server}, own.get());
}

absl::StatusOr<std::shared_ptr<const HttpsContext>> HttpsContext::Create(bool server, Rules rules,
                                                                         const Credentials* own) {
  ERR_clear_error();
  ASSIGN_OR_RETURN(SslCtxPtr context, NewTls13Context(server));
  const std::uint64_t sequence = rules.trust->bundle().sequence;
  X509_STORE* const roots = rules.trust->impl().store.get();
  SSL_CTX_set1_cert_store(context.get(), roots);
  if (own != nullptr) RETURN_IF_ERROR(Present(*own, context.get()));
  RETURN_IF_ERROR(SetAlpn(context.get(), server));
  auto kept = std::make_unique<Rules>(std::move(rules));
  if (SSL_CTX_set_ex_data(context.get(), RulesIndex(), kept.get()) != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, "SSL_CTX_set_ex_data");
  }
  SSL_CTX_set_cert_verify_callback(context.get(), OnVerify, kept.release());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // An HTTP message whose length is not said ends with close_notify.
  SSL_CTX_set_quiet_shutdown(context.get(), 0);
  return std::shared_ptr<const HttpsContext>(new HttpsContext(context.release(), sequence));
}

absl::Status HttpsContext::CheckAgain(SSL* ssl) const {
  X509* const leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr) return absl::OkStatus();
  SSL_CTX* const context = context_->native_handle();
  const X509StoreCtxPtr verification(X509_STORE_CTX_new());
  if (verification == nullptr ||
      X509_STORE_CTX_init(verification.get(), SSL_CTX_get_cert_store(context), leaf,
                          SSL_get_peer_cert_chain(ssl)) != 1 ||
      X509_STORE_CTX_set_default(verification.get(),
                                 SSL_is_server(ssl) ? "ssl_client" : "ssl_server") != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, "verify certificate");
  }
  const auto* rules = static_cast<Rules*>(SSL_CTX_get_ex_data(context, RulesIndex()));
  const absl::Status judged = rules->Judge(verification.get());
  ERR_clear_error();
  return judged;
}

absl::StatusOr<std::optional<HttpsPeer>> PeerOf(SSL* ssl) {
  if (SSL_is_init_finished(ssl) != 1) return absl::FailedPreconditionError("no handshake yet");
  const X509* leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr) return std::optional<HttpsPeer>();
  if (SSL_get_verify_result(ssl) != X509_V_OK) {
    return absl::InternalError("a certificate that was not verified");
  }
  ASSIGN_OR_RETURN(SpiffeId id, LeafIdentity(leaf));
  return HttpsPeer{.id = std::move(id),
                   .serial = SerialHex(leaf),
                   .not_after = ToWallTime(X509_get0_notAfter(leaf))};
}

absl::Status SetServerName(SSL* ssl, const std::string& host) {
  if (net::IpAddress::Parse(host).ok()) return absl::OkStatus();
  const std::string name(absl::StripSuffix(host, "."));  // that is no part of an SNI
  if (SSL_set_tlsext_host_name(ssl, name.c_str()) == 1) return absl::OkStatus();
  return OpensslStatus(absl::StatusCode::kInternal, absl::StrCat("SNI '", host, "'"));
}

absl::Status HttpsError(SSL* ssl, const boost::system::error_code& error) {
  // The callback knows better than the error that OpenSSL makes of its refusal.
  const void* failure = SSL_get_ex_data(ssl, FailureIndex());
  if (failure != nullptr) return *static_cast<const absl::Status*>(failure);
  if (error.category() == boost::asio::error::get_ssl_category()) {
    return HandshakeErrorOf(static_cast<unsigned>(error.value()));
  }
  return HandshakeError(HandshakeFailure::kTransport, error.message());
}

}  // namespace tombolo::tls
