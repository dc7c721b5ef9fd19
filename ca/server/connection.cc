// SPDX-License-Identifier: Apache-2.0
#include "server/connection.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include "absl/strings/str_cat.h"
#include "base/rate_limited_log.h"

namespace tombolo::ca::https {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kLingerTime = std::chrono::seconds(1);
constexpr std::size_t kLingerBytes = 1 << 20;
constexpr std::size_t kFirstRead = 4096;
// A body up to this goes out with its header, in one record.
constexpr std::size_t kSmallBody = 8 * 1024;
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

// Also when there is something left to read.
bool HasHungUp(int fd) {
  pollfd socket{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&socket, 1, 0) > 0;
}

std::string FieldOf(const Parser& parser, http::field field) {
  const auto value = parser.get()[field];
  return {value.data(), value.size()};
}

std::optional<std::chrono::seconds> WaitOf(const Parser& parser) {
  const auto [begin, end] = parser.get().equal_range(http::field::prefer);
  for (auto prefer = begin; prefer != end; ++prefer) {
    const auto value = prefer->value();
    if (const auto wait = ParsePreferredWait({value.data(), value.size()})) return wait;
  }
  return std::nullopt;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerState> state, Responder& responder, tcp::socket socket,
                       std::string address, std::unique_ptr<Admission::Slot> slot)
    : state_(std::move(state)),
      responder_(responder),
      address_(std::move(address)),
      slot_(std::move(slot)),
      context_(state_->context()),
      stream_(std::move(socket), context_->context()),
      deadline_(stream_.next_layer()),
      // Room for one header and what a pipelining client has sent behind it.
      buffer_(2 * std::size_t{state_->limits.header_bytes}) {}

Awaitable<void> Connection::Run() {
  bool more = co_await Handshake();
  while (more) {
    more = co_await AwaitRequest();
    if (more) more = co_await ServeRequest();
  }
  if (!lost_) co_await Finish();
}

void Connection::EndIfIdle() {
  if (idle_) deadline_.Set(Duration::zero());
}

void Connection::Close() {
  error_code ignored;
  stream_.next_layer().close(ignored);
}

Awaitable<bool> Connection::Handshake() {
  deadline_.Set(state_->limits.handshake);
  auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kUseTuple);
  absl::StatusOr<std::optional<tls::HttpsPeer>> peer = HandshakeResult(error);
  if (!peer.ok()) {
    ReportHandshake(peer.status());
    deadline_.Set(kLingerTime);
    co_await Linger();
    lost_ = true;
    co_return false;
  }
  ++state_->counters.handshakes;
  peer_ = *std::move(peer);
  co_return Settle();
}

// False when there are too many connections of this kind.
bool Connection::Settle() {
  const bool settled = peer_ ? slot_->Identify(peer_->id) : slot_->StayNameless();
  if (settled) return true;
  const char* reason = peer_ ? "per_identity" : "without_identity";
  log::WriteLimited(
      log::Level::kWarning, "connection refused", reason,
      {{"peer", address_}, {"id", peer_ ? peer_->id.text() : "-"}, {"reason", reason}});
  return false;
}

absl::StatusOr<std::optional<tls::HttpsPeer>> Connection::HandshakeResult(const error_code& error) {
  if (!error) return tls::PeerOf(stream_.native_handle());
  if (!deadline_.passed()) return tls::HttpsError(stream_.native_handle(), error);
  return tls::HandshakeError(tls::HandshakeFailure::kTimeout, "handshake timed out");
}

// False when none will come.
Awaitable<bool> Connection::AwaitRequest() {
  if (buffer_.size() > 0) co_return true;
  if (state_->stopping) co_return false;
  buffer_.shrink_to_fit();
  deadline_.Set(requests_ == 0 ? state_->limits.header : state_->limits.idle);
  idle_ = true;
  const std::size_t room = std::min(kFirstRead, buffer_.max_size());
  auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(room), kUseTuple);
  idle_ = false;
  buffer_.commit(size);
  const bool passed = deadline_.passed();
  if (error && !passed) lost_ = true;
  co_return !error && !passed;
}

// False when the connection is to end.
Awaitable<bool> Connection::ServeRequest() {
  ++requests_;
  Parser parser;
  parser.header_limit(state_->limits.header_bytes);
  parser.body_limit(kMaxBodySize);
  std::optional<Answer> answer = co_await ReadHeader(parser);
  if (!answer && !lost_) answer = co_await ReadBody(parser);
  if (lost_) co_return false;
  const std::optional<Target> target = TargetOf(parser);
  if (!answer) answer = co_await Respond(parser, *target);
  Report(target ? static_cast<std::size_t>(target->resource) : kResources, *answer);
  const bool keep_alive = MayGoOn(parser) && !ending_ && !state_->stopping;
  const bool head_only = parser.get().method() == http::verb::head;
  const bool sent = co_await Send(*std::move(answer), head_only, keep_alive);
  co_return sent&& keep_alive;
}

Awaitable<std::optional<Answer>> Connection::ReadHeader(Parser& parser) {
  deadline_.Set(state_->limits.header);
  auto [error, size] = co_await http::async_read_header(stream_, buffer_, parser, kUseTuple);
  co_return TooSlowOr(error, CheckHeader(parser, error));
}

Awaitable<std::optional<Answer>> Connection::ReadBody(Parser& parser) {
  if (parser.is_done()) co_return std::nullopt;
  deadline_.Set(state_->limits.body);
  if (ExpectsContinue(parser)) {
    auto [error, size] = co_await asio::async_write(
        stream_, asio::buffer(kContinue, sizeof(kContinue) - 1), kUseTuple);
    if (error) {
      lost_ = true;
      co_return std::nullopt;
    }
  }
  auto [error, size] = co_await http::async_read(stream_, buffer_, parser, kUseTuple);
  co_return TooSlowOr(error, CheckBody(error));
}

// What to answer when reading has ended with `error`.
std::optional<Answer> Connection::TooSlowOr(const error_code& error,
                                            std::optional<Answer> otherwise) {
  const bool passed = deadline_.passed();
  deadline_.Clear();
  if (!error || IsFaultOfMessage(error)) return otherwise;
  if (passed) return Refuse(408, "the request took too long to come");
  lost_ = true;
  return std::nullopt;
}

Awaitable<Answer> Connection::Respond(Parser& parser, Target target) {
  const absl::Status peer = CheckPeerAgain();
  if (!peer.ok()) {
    ending_ = true;  // only another handshake can mend it
    co_return RefuseFor(peer);
  }
  Request request{.target = std::move(target),
                  .authorization = FieldOf(parser, http::field::authorization),
                  .known = ParseSequenceTag(FieldOf(parser, http::field::if_none_match)),
                  .wait = WaitOf(parser),
                  .body = std::move(parser.get().body()),
                  .peer = peer_,
                  .judged_by = judged_by_,
                  .address = address_,
                  .gone = [fd = stream_.next_layer().native_handle()] { return HasHungUp(fd); }};
  co_return co_await responder_.Respond(std::move(request));
}

// Certificates expire, and trust changes, while a connection stays.
absl::Status Connection::CheckPeerAgain() {
  if (!peer_) return absl::OkStatus();
  const ServerState::ContextPtr context = state_->context();
  const absl::Status good = context->CheckAgain(stream_.native_handle());
  judged_by_ = context->sequence();
  if (good.ok()) return good;
  return absl::UnauthenticatedError(
      absl::StrCat("the client certificate does not hold any more: ", good.message()));
}

Awaitable<bool> Connection::Send(Answer answer, bool head_only, bool keep_alive) {
  std::string first = HeadOf(answer, std::chrono::system_clock::now(), keep_alive);
  const bool has_body = answer.body != nullptr && !head_only;
  const bool together = has_body && answer.body->size() <= kSmallBody;
  if (together) first += *answer.body;
  deadline_.Set(state_->limits.write);
  auto [error, size] = co_await asio::async_write(stream_, asio::buffer(first), kUseTuple);
  if (!error && has_body && !together) {
    auto [late, more] = co_await asio::async_write(stream_, asio::buffer(*answer.body), kUseTuple);
    error = late;
  }
  deadline_.Clear();
  if (error) lost_ = true;
  co_return !error;
}

Awaitable<void> Connection::Finish() {
  deadline_.Set(kLingerTime);
  co_await stream_.async_shutdown(kUseTuple);
  co_await Linger();
}

// Closing with unread bytes would reset the connection, and the client might lose the response or
// the alert that says why.
Awaitable<void> Connection::Linger() {
  tcp::socket& socket = stream_.next_layer();
  error_code ignored;
  socket.shutdown(tcp::socket::shutdown_send, ignored);
  std::array<char, kFirstRead> waste;
  for (std::size_t read = 0; read < kLingerBytes && !deadline_.passed();) {
    auto [error, size] = co_await socket.async_read_some(asio::buffer(waste), kUseTuple);
    if (error) break;
    read += size;
  }
}

void Connection::ReportHandshake(const absl::Status& failure) {
  const tls::HandshakeFailure reason = tls::ReasonOf(failure);
  state_->counters.AddFailure(reason);
  // Whatever looks whether the port is open is no news.
  const bool probe = reason == tls::HandshakeFailure::kTransport;
  log::WriteLimited(probe ? log::Level::kDebug : log::Level::kInfo, "handshake refused",
                    tls::Name(reason),
                    {{"peer", address_}, {"reason", tls::Name(reason)}, {"detail", failure}});
}

void Connection::Report(std::size_t target, const Answer& answer) {
  state_->counters.AddRequest(target, answer.status);
  if (answer.status < 400) return;
  const log::Level level = answer.status < 500 ? log::Level::kInfo : log::Level::kWarning;
  log::WriteLimited(level, "request refused", absl::StrCat(answer.status),
                    {{"peer", address_},
                     {"id", peer_ ? peer_->id.text() : "-"},
                     {"resource", ServerCounters::TargetName(target)},
                     {"status", answer.status},
                     {"reason", answer.reason}});
}

}  // namespace tombolo::ca::https
