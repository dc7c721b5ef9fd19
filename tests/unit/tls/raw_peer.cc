// SPDX-License-Identifier: Apache-2.0
#include "raw_peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdlib>
#include <utility>

#include "tls/pem.h"

namespace tombolo::testing {
namespace {

int AcceptAny(X509_STORE_CTX*, void*) { return 1; }

int SelectFirst(SSL*, const unsigned char** out, unsigned char* size, const unsigned char*,
                unsigned, void* arg) {
  const auto& alpn = *static_cast<const std::string*>(arg);
  *out = reinterpret_cast<const unsigned char*>(alpn.data());
  *size = static_cast<unsigned char>(alpn.size());
  return SSL_TLSEXT_ERR_OK;
}

tls::SslCtxPtr NewContext(const RawPeer::Options& options) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_max_proto_version(context.get(), options.max_version);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), AcceptAny, nullptr);
  SSL_CTX_set_num_tickets(context.get(), 0);
  if (!options.suites.empty()) SSL_CTX_set_ciphersuites(context.get(), options.suites.c_str());
  if (!options.chain.empty()) {
    const tls::X509StackPtr chain = *tls::ReadCertificates(options.chain, "chain");
    const tls::KeyPtr key = *tls::ReadKey(options.key, "key");
    const tls::X509Ptr leaf(sk_X509_shift(chain.get()));
    if (SSL_CTX_use_cert_and_key(context.get(), leaf.get(), key.get(), chain.get(), 1) != 1) {
      std::abort();
    }
  }
  return context;
}

}  // namespace

RawPeer::RawPeer(Fd socket, Options options, Then then)
    : socket_(std::move(socket)),
      thread_(
          [this, options = std::move(options), then = std::move(then)] { Run(options, then); }) {}

bool RawPeer::Join() {
  if (thread_.joinable()) thread_.join();
  return succeeded_;
}

void RawPeer::Run(const Options& options, const Then& then) {
  const int fd = socket_.get();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  const tls::SslCtxPtr context = NewContext(options);
  const std::string wire = static_cast<char>(options.alpn.size()) + options.alpn;
  const auto* alpn = reinterpret_cast<const unsigned char*>(wire.data());
  if (options.server && !options.alpn.empty()) {
    SSL_CTX_set_alpn_select_cb(context.get(), SelectFirst, const_cast<std::string*>(&options.alpn));
  }
  const tls::SslPtr ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  if (!options.server && !options.alpn.empty()) {
    SSL_set_alpn_protos(ssl.get(), alpn, static_cast<unsigned>(wire.size()));
  }
  if (!options.server && !options.sni.empty()) {
    SSL_set_tlsext_host_name(ssl.get(), options.sni.c_str());
  }
  succeeded_ = (options.server ? SSL_accept(ssl.get()) : SSL_connect(ssl.get())) == 1;
  if (succeeded_) then(ssl.get());
  socket_.Close();
}

}  // namespace tombolo::testing
