// SPDX-License-Identifier: Apache-2.0
#include "tls/client_context.h"

#include <utility>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/client_stream.h"
#include "tls/https.h"
#include "tls/openssl.h"
#include "tls/pem.h"
#include "tls/trust_store.h"

namespace tombolo::tls {
namespace {

constexpr int kSecurityLevel = 2;           // 112 bits: no RSA below 2048, no SHA-1
constexpr long kMaxChainBytes = 64 * 1024;  // the server's whole certificate message
// Of TLS 1.2, which servers that others build may have no more than.
constexpr char kOldSuites[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

absl::Status Bad(absl::string_view name, absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInvalidArgument, absl::StrCat(name, ": ", what));
}

absl::StatusOr<SslCtxPtr> NewClientContext() {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return OpensslStatus(absl::StatusCode::kInternal, "SSL_CTX_new");
  SSL_CTX_set_security_level(context.get(), kSecurityLevel);
  SSL_CTX_set_options(context.get(),
                      SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context.get(), kMaxChainBytes);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_cipher_list(context.get(), kOldSuites) == 1) {
    return context;
  }
  return OpensslStatus(absl::StatusCode::kInternal, "set up a TLS client");
}

absl::Status UseOwn(SSL_CTX* context, const ClientContext::Pem& pem) {
  ASSIGN_OR_RETURN(const X509StackPtr chain, ReadCertificates(pem.chain, pem.chain_name));
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(pem.key, pem.key_name));
  const X509Ptr leaf(sk_X509_shift(chain.get()));
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    return Bad(pem.key_name, absl::StrCat("not the key of ", pem.chain_name));
  }
  if (SSL_CTX_use_cert_and_key(context, leaf.get(), key.get(), chain.get(), /*override=*/1) != 1) {
    return Bad(pem.chain_name, "use certificate and key");
  }
  return absl::OkStatus();
}

// Numeric addresses are looked for among the certificate's addresses.
bool Expect(SSL* ssl, const std::string& host) {
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1) return true;
  ERR_clear_error();
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SetServerName(ssl, host).ok();
}

}  // namespace

struct ClientContext::Impl {
  SslCtxPtr context;
};

absl::StatusOr<std::shared_ptr<const ClientContext>> ClientContext::FromPem(const Pem& pem) {
  ERR_clear_error();
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->context, NewClientContext());
  if (!pem.system_roots) {
    RETURN_IF_ERROR(
        AddRoots(SSL_CTX_get_cert_store(impl->context.get()), pem.roots, pem.roots_name));
  } else if (SSL_CTX_set_default_verify_paths(impl->context.get()) != 1) {
    return OpensslStatus(absl::StatusCode::kFailedPrecondition, "use the system's roots");
  }
  if (pem.chain.empty() != pem.key.empty()) {
    return absl::InvalidArgumentError("a client's certificate and its key go together");
  }
  if (!pem.chain.empty()) RETURN_IF_ERROR(UseOwn(impl->context.get(), pem));
  return std::shared_ptr<const ClientContext>(new ClientContext(std::move(impl)));
}

ClientContext::ClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientContext::~ClientContext() = default;

absl::StatusOr<std::unique_ptr<BlockingStream>> ClientContext::Connect(
    std::unique_ptr<BlockingStream> below, const std::string& host, MonotonicTime deadline) const {
  SslPtr ssl(SSL_new(impl_->context.get()));
  if (ssl == nullptr || host.empty() || !Expect(ssl.get(), host)) {
    return OpensslStatus(absl::StatusCode::kInternal, absl::StrCat("TLS client for '", host, "'"));
  }
  auto stream = std::make_unique<ClientStream>(std::move(ssl), std::move(below));
  RETURN_IF_ERROR(stream->Handshake(deadline));
  return stream;
}

}  // namespace tombolo::tls
