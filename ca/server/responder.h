// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/asio.h"
#include "server/answer.h"
#include "server/handlers.h"
#include "server/request.h"
#include "server/server_state.h"

namespace tombolo::ca::https {

// One request whose message is in order.
struct Request {
  Target target;
  std::string authorization;                   // empty: none
  std::optional<std::uint64_t> known{};        // of If-None-Match
  std::optional<std::chrono::seconds> wait{};  // of Prefer
  std::string body{};
  std::optional<tls::HttpsPeer> peer{};
  std::uint64_t judged_by = 0;  // the trust bundle that `peer` holds by
  std::string address{};
  std::function<bool()> gone{};  // whether the client has left
};

// Answers requests. Lives on `io`'s one thread.
class Responder {
 public:
  Responder(std::shared_ptr<asio::io_context> io, std::shared_ptr<ServerState> state)
      : io_(std::move(io)), state_(std::move(state)) {}
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  Awaitable<Answer> Respond(Request request);

  // Requests that are held look again: something is published, or the server stops.
  void Wake();

 private:
  Answer CaCerts(const std::shared_ptr<const Published>& published);
  Awaitable<Answer> Trust(Request request);
  Awaitable<Answer> Enrolled(Request request);
  std::shared_ptr<const Published> Current() const { return state_->handlers.published(); }

  const std::shared_ptr<asio::io_context> io_;
  const std::shared_ptr<ServerState> state_;
  std::set<asio::steady_timer*> held_;  // one for each request that is held
  // The roots as EST wants them, made once for everybody who asks.
  std::shared_ptr<const Published> ca_certs_of_;
  std::shared_ptr<const std::string> ca_certs_;
};

}  // namespace tombolo::ca::https
