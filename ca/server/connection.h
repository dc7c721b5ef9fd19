// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "base/asio.h"
#include "server/admission.h"
#include "server/answer.h"
#include "server/deadline.h"
#include "server/parser.h"
#include "server/responder.h"
#include "server/server_state.h"

namespace tombolo::ca::https {

// One client's connection: its handshake, and one request after the other. Lives on its socket's
// thread.
class Connection {
 public:
  Connection(std::shared_ptr<ServerState> state, Responder& responder, asio::ip::tcp::socket socket,
             std::string address, std::unique_ptr<Admission::Slot> slot);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Until the client or a limit ends it, or the state is stopping.
  Awaitable<void> Run();

  // After the state has begun to stop: ends it if no request has begun.
  void EndIfIdle();
  // Ends it at once.
  void Close();

 private:
  Awaitable<bool> Handshake();
  absl::StatusOr<std::optional<tls::HttpsPeer>> HandshakeResult(
      const boost::system::error_code& error);
  bool Settle();
  Awaitable<bool> AwaitRequest();
  Awaitable<bool> ServeRequest();
  Awaitable<std::optional<Answer>> ReadHeader(Parser& parser);
  Awaitable<std::optional<Answer>> ReadBody(Parser& parser);
  Awaitable<Answer> Respond(Parser& parser, Target target);
  Awaitable<bool> Send(Answer answer, bool head_only, bool keep_alive);
  Awaitable<void> Finish();
  Awaitable<void> Linger();

  std::optional<Answer> TooSlowOr(const boost::system::error_code& error,
                                  std::optional<Answer> otherwise);
  absl::Status CheckPeerAgain();
  void ReportHandshake(const absl::Status& failure);
  void Report(std::size_t target, const Answer& answer);

  const std::shared_ptr<ServerState> state_;
  Responder& responder_;
  const std::string address_;
  const std::unique_ptr<Admission::Slot> slot_;
  const ServerState::ContextPtr context_;  // of the handshake
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
  Deadline deadline_;
  boost::beast::flat_buffer buffer_;
  std::optional<tls::HttpsPeer> peer_;
  std::uint64_t judged_by_ = 0;  // the trust bundle by which peer_ was judged last
  int requests_ = 0;
  bool idle_ = false;    // waits for the next request
  bool ending_ = false;  // after the next answer
  bool lost_ = false;    // nothing more can be sent
};

}  // namespace tombolo::ca::https
