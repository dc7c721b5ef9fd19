// SPDX-License-Identifier: Apache-2.0
#include "testing/test_authority.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tls/csr.h"
#include "tls/pkcs7.h"

namespace tombolo::testing {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Message = http::request<http::string_body>;

std::string Header(const Message& message, http::field field) {
  return std::string(message[field].data(), message[field].size());
}

TestAuthority::Request ToRequest(const Message& message) {
  TestAuthority::Request request;
  request.at = std::chrono::steady_clock::now();
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.body = message.body();
  const std::string authorization = Header(message, http::field::authorization);
  request.token = std::string(absl::StripPrefix(authorization, "Bearer "));
  request.if_none_match = Header(message, http::field::if_none_match);
  int seconds = 0;
  const std::string prefer = Header(message, http::field::prefer);
  (void)absl::SimpleAtoi(absl::StripPrefix(prefer, "wait="), &seconds);
  request.wait = std::chrono::seconds(seconds);
  return request;
}

std::string SniOf(SSL* ssl) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

http::response<http::string_body> ToMessage(const TestAuthority::Answer& answer) {
  http::response<http::string_body> message;
  message.result(answer.status);
  message.version(11);
  message.set(http::field::content_type, answer.type);
  if (!answer.retry_after.empty()) message.set(http::field::retry_after, answer.retry_after);
  message.body() = answer.body;
  message.keep_alive(true);
  message.prepare_payload();
  return message;
}

}  // namespace

struct TestAuthority::Peer {
  Peer(TestAuthority& authority_in, tcp::socket socket)
      : authority(authority_in), stream(std::move(socket), authority.context_->context()) {
    authority.peers_.insert(this);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { authority.peers_.erase(this); }

  TestAuthority& authority;
  asio::ssl::stream<beast::tcp_stream> stream;
};

TestAuthority::TestAuthority(asio::io_context& io, const std::string& path)
    : io_(io), acceptor_(io), published_(io, MonotonicTime::max()), tasks_(io.get_executor()) {
  bundle = pki_.Bundle();
  const std::string cluster = path == "/ca" ? "" : "east";
  auto context =
      tls::HttpsContext::ForServer(ClusterPki::Issue(pki_.issuer(cluster), path, bundle));
  if (!context.ok()) std::abort();
  context_ = *std::move(context);
  Publish(1);
  Open();
}

TestAuthority::~TestAuthority() = default;

void TestAuthority::Open() {
  acceptor_.open(tcp::v4());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind({asio::ip::address_v4::loopback(), port_});
  acceptor_.listen();
  port_ = acceptor_.local_endpoint().port();
  tasks_.Spawn(Accept());
}

void TestAuthority::Close() {
  acceptor_.close();
  for (Peer* peer : peers_) peer->stream.next_layer().close();
  published_.cancel();
}

Awaitable<void> TestAuthority::Stop() {
  Close();
  co_await tasks_.CancelAndJoin();
}

void TestAuthority::Publish(std::uint64_t sequence) {
  bundle.sequence = sequence;
  document_ = *tls::WriteTrustBundle(bundle);
  published_.cancel();
}

std::size_t TestAuthority::CountOf(const std::string& target) const {
  return static_cast<std::size_t>(std::count_if(
      requests_.begin(), requests_.end(),
      [&](const Request& request) { return absl::EndsWith(request.target, target); }));
}

Awaitable<void> TestAuthority::Accept() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(kUseTuple);
    if (error) co_return;
    tasks_.Spawn(Serve(std::move(socket)));
  }
}

Awaitable<void> TestAuthority::Serve(tcp::socket socket) {
  Peer peer(*this, std::move(socket));
  const auto [failed] =
      co_await peer.stream.async_handshake(asio::ssl::stream_base::server, kUseTuple);
  if (failed) co_return;
  const auto who = tls::PeerOf(peer.stream.native_handle());
  beast::flat_buffer buffer;
  for (;;) {
    Message message;
    const auto [unread, read] = co_await http::async_read(peer.stream, buffer, message, kUseTuple);
    if (unread) co_return;
    Request request = ToRequest(message);
    if (who.ok() && *who) request.caller = (*who)->id.text();
    request.sni = SniOf(peer.stream.native_handle());
    requests_.push_back(request);
    while (silent) {
      asio::steady_timer timer(io_, std::chrono::milliseconds(10));
      (void)co_await timer.async_wait(kUseTuple);
    }
    const bool enrols = request.method == "POST";
    const Answer answer = co_await Handle(std::move(request));
    if (enrols && lost_answers > 0 && answer.status == 200) {
      --lost_answers;
      co_return;
    }
    const auto reply = ToMessage(answer);
    const auto [unsent, written] = co_await http::async_write(peer.stream, reply, kUseTuple);
    if (unsent) co_return;
  }
}

Awaitable<TestAuthority::Answer> TestAuthority::Handle(Request request) {
  if (intercept) {
    std::optional<Answer> instead = intercept(request);
    if (instead) co_return *std::move(instead);
  }
  if (request.target == "/v1/trust") co_return co_await Trust(std::move(request));
  if (request.target == "/.well-known/spiffe/bundle") co_return PublicTrust(request);
  if (request.method == "POST") co_return Enroll(request);
  co_return Answer{.status = 404};
}

Awaitable<TestAuthority::Answer> TestAuthority::Trust(Request request) {
  if (request.caller.empty()) co_return Answer{.status = 401};
  if (Holds(request)) {
    published_.expires_after(request.wait);
    (void)co_await published_.async_wait(kUseTuple);
  }
  if (Holds(request)) co_return Answer{.status = 304, .type = "application/json"};
  co_return Answer{.type = "application/json", .body = document_};
}

TestAuthority::Answer TestAuthority::PublicTrust(const Request& request) const {
  if (Holds(request)) return {.status = 304, .type = "application/json"};
  return {.type = "application/json", .body = document_};
}

bool TestAuthority::Holds(const Request& request) const {
  return absl::StrCat("\"", bundle.sequence, "\"") == request.if_none_match;
}

bool TestAuthority::Spend(const std::string& token, const tls::KeyId& key) {
  if (tokens.erase(token) == 1) {
    spent_.insert_or_assign(token, key);
    return true;
  }
  const auto spent = spent_.find(token);
  return spent != spent_.end() && spent->second == key;
}

TestAuthority::Answer TestAuthority::Enroll(const Request& request) {
  if (request.token.empty() && request.caller.empty()) return {.status = 401};
  const auto der = tls::DecodeBody(request.body, tls::kMaxCsrSize);
  const auto csr = der.ok() ? tls::ParseCsr(*der) : der.status();
  if (!csr.ok() || csr->uris.size() != 1) return {.status = 400};
  if (!request.token.empty() && !Spend(request.token, csr->key.id())) {
    return {.status = 401, .body = "no such token\n"};
  }
  if (refused.contains(csr->uris[0])) return {.status = 403, .body = "not yours\n"};
  const auto id = SpiffeId::Parse(issue_instead.empty() ? csr->uris[0] : issue_instead);
  const tls::Issuer& issuer = pki_.issuer("east");
  const auto leaf =
      issuer.IssueLeaf({.id = *id, .key = csr->key, .validity = tls::Validity::FromNow(ttl)});
  if (!leaf.ok()) return {.status = 403, .body = std::string(leaf.status().message())};
  const auto answer = tls::MakeCertsOnly(*leaf + issuer.chain(), "chain");
  return {.type = "application/pkcs7-mime; smime-type=certs-only",
          .body = tls::EncodeBody(*answer)};
}

}  // namespace tombolo::testing
