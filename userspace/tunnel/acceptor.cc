// SPDX-License-Identifier: Apache-2.0
#include "tunnel/acceptor.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::tunnel {
namespace {

constexpr Duration kAnswer = std::chrono::seconds(10);
constexpr std::size_t kMaxEarlyBytes = 64 * 1024;

std::string SerializeResult(proto::Code code, absl::string_view message) {
  proto::Result result;
  result.set_code(code);
  result.set_message(std::string(message));
  return result.SerializeAsString();
}

// After a refusal: drops early data up to the dialer's END, then DONE.
Awaitable<absl::Status> EndRefused(Tunnel& tunnel, MonotonicTime deadline) {
  std::size_t dropped = 0;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const tls::Record record, co_await tunnel.stream().Receive(deadline));
    if (record.type == tls::kApplicationData) {
      dropped += record.payload.size();
      if (dropped > kMaxEarlyBytes) {
        co_return absl::InvalidArgumentError("more than 64 KiB sent before RESULT");
      }
      continue;
    }
    absl::StatusOr<Message> message = tunnel.Understand(record);
    if (absl::IsNotFound(message.status())) continue;
    if (!message.ok()) co_return message.status();
    if (message->type == MessageType::kEnd) break;
    co_return absl::InvalidArgumentError(
        absl::StrCat(Name(message->type), " after a refused OPEN"));
  }
  co_return co_await tunnel.Send(MessageType::kDone, "", deadline);
}

// The next connection's OPEN, answered: the endpoint, or none where it was refused and the
// tunnel is in order. A coroutine of its own, so that nothing of it is kept while the
// connection runs.
Awaitable<absl::StatusOr<std::optional<net::AsyncFd>>> NextConnection(Tunnel& tunnel,
                                                                      ConnectionHandler& handler,
                                                                      MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(const Message message, co_await tunnel.Receive(deadline));
  if (message.type != MessageType::kOpen) {
    co_return absl::InvalidArgumentError(absl::StrCat(Name(message.type), " instead of OPEN"));
  }
  tunnel.BeginConnection();
  CO_ASSIGN_OR_RETURN(proto::Open open, ParsePayload<proto::Open>(message));
  CO_RETURN_IF_ERROR(Validate(open));
  ConnectionHandler::Answer answer;
  if (tunnel.reusable()) {
    answer = co_await handler.Open(tunnel, std::move(open));
  } else {  // retired, or an SVID has expired, while it was idle
    answer.code = proto::CODE_DRAINING;
    answer.message = "this tunnel takes no more connections";
  }
  const bool opened = answer.code == proto::CODE_OK;
  CO_RETURN_IF_ERROR(tunnel.Post(MessageType::kResult, SerializeResult(answer.code, answer.message),
                                 /*more=*/opened));
  if (opened) co_return std::move(answer.endpoint);
  CO_RETURN_IF_ERROR(co_await EndRefused(tunnel, After(kAnswer)));
  co_return std::nullopt;
}

Awaitable<absl::Status> Greet(Tunnel& tunnel, MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(tunnel.PostHello());
  co_return co_await tunnel.ExpectHello(deadline);
}

// nullopt: the tunnel takes no more of them.
Awaitable<absl::StatusOr<std::optional<net::AsyncFd>>> NextToCarry(Tunnel& tunnel,
                                                                   ConnectionHandler& handler,
                                                                   AcceptorOptions options) {
  MonotonicTime deadline = After(options.idle);
  if (!tunnel.greeted()) {
    CO_RETURN_IF_ERROR(co_await Greet(tunnel, After(options.hello)));
    deadline = After(options.hello);
  }
  while (tunnel.reusable()) {
    CO_ASSIGN_OR_RETURN(std::optional<net::AsyncFd> endpoint,
                        co_await NextConnection(tunnel, handler, deadline));
    if (endpoint) co_return std::move(endpoint);
    deadline = After(options.idle);
  }
  co_return std::nullopt;
}

// Ends that are nobody's fault: the dialer said goodbye, the tunnel was idle for
// too long, or this agent is draining.
bool Orderly(const Tunnel& tunnel, const absl::Status& status) {
  return status.ok() || absl::IsOutOfRange(status) || absl::IsCancelled(status) ||
         (absl::IsDeadlineExceeded(status) && tunnel.connection() > 0);
}

}  // namespace

Awaitable<absl::StatusOr<std::optional<net::AsyncFd>>> Serve(Tunnel& tunnel,
                                                             ConnectionHandler& handler,
                                                             AcceptorOptions options) {
  absl::StatusOr<std::optional<net::AsyncFd>> next = co_await NextToCarry(tunnel, handler, options);
  if (next.ok() && next->has_value()) co_return next;
  const absl::Status status = next.status();
  if (absl::IsInvalidArgument(status)) {
    co_await tunnel.Reset(proto::CODE_PROTOCOL_ERROR, std::string(status.message()));
    co_return status;
  }
  if (status.ok() || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status)) {
    co_await tunnel.GoAway("this tunnel ends");
  } else {
    co_await tunnel.Close();
  }
  if (!Orderly(tunnel, status)) co_return status;
  co_return std::nullopt;
}

}  // namespace tombolo::tunnel
