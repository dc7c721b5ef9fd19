// SPDX-License-Identifier: Apache-2.0
#include "tunnel/tunnel.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/record_protection.h"

namespace tombolo::tunnel {
namespace {

constexpr Duration kFarewell = std::chrono::seconds(2);
// PING, PONG, GOAWAY and unknown optional messages in one window of time. A
// connection that lives for days may be pinged all the while; a flood may not
// keep a thread from its other connections.
constexpr int kMaxSideMessages = 1000;
constexpr Duration kSideWindow = std::chrono::seconds(10);
// Half of a key's budget (2^24): a tunnel beyond it takes no further connection,
// so that the connection it carries has the other half to itself.
constexpr std::uint64_t kRetireRecords = 1 << 23;

std::uint64_t NextId() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

// Handled without being shown to whoever waits for the next message.
bool IsAside(const absl::StatusOr<Message>& message) {
  if (!message.ok()) return absl::IsNotFound(message.status());
  return message->type == MessageType::kPing || message->type == MessageType::kPong ||
         message->type == MessageType::kGoAway;
}

absl::Status Unexpected(const Message& message, absl::string_view when) {
  return absl::InvalidArgumentError(absl::StrCat(Name(message.type), " ", when));
}

}  // namespace

Tunnel::Tunnel(tls::Session session, Role role)
    : session_(std::move(session)), role_(role), id_(NextId()) {}

absl::Status Tunnel::PostHello(bool more) {
  proto::Hello hello;
  hello.set_version(kVersion);
  if (stream().can_rekey()) hello.set_features(proto::FEATURE_REKEY);
  hello.set_agent("tombolo-agent/" TOMBOLO_VERSION);
  return Post(MessageType::kHello, hello.SerializeAsString(), more);
}

Awaitable<absl::Status> Tunnel::ExpectHello(MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(const Message message, co_await Receive(deadline));
  co_return TakeHello(message);
}

absl::Status Tunnel::TakeHello(const Message& message) {
  if (message.type != MessageType::kHello) return Unexpected(message, "before HELLO");
  ASSIGN_OR_RETURN(const proto::Hello hello, ParsePayload<proto::Hello>(message));
  if (hello.version() != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("the peer speaks version ", hello.version(), " of tombolo/1 records"));
  }
  if ((hello.features() & proto::FEATURE_REKEY) != 0) stream().RekeyEvery(tls::kRekeyAfter);
  greeted_ = true;
  return absl::OkStatus();
}

absl::Status Tunnel::Ping(MonotonicTime now) {
  RETURN_IF_ERROR(Post(MessageType::kPing, ""));
  asked_at_ = now;
  return absl::OkStatus();
}

std::optional<MonotonicTime> Tunnel::asked_at() const {
  if (asked_at_ == kNotAsked) return std::nullopt;
  return asked_at_;
}

Bytes Tunnel::EncodeNow(MessageType type, absl::string_view payload) const {
  const bool whole_tunnel = type == MessageType::kHello || type == MessageType::kGoAway ||
                            type == MessageType::kPing || type == MessageType::kPong;
  return Encode({type, whole_tunnel ? 0 : connection_, std::string(payload)});
}

absl::Status Tunnel::Post(MessageType type, absl::string_view payload, bool more) {
  return stream().PostControl(EncodeNow(type, payload), more);
}

Awaitable<absl::Status> Tunnel::Send(MessageType type, std::string payload,
                                     MonotonicTime deadline) {
  const Bytes bytes = EncodeNow(type, payload);
  co_return co_await stream().SendControl(bytes, deadline);
}

bool Tunnel::TooManyAside() {
  const MonotonicTime now = std::chrono::steady_clock::now();
  if (now - side_window_ > kSideWindow) {
    side_window_ = now;
    side_messages_ = 0;
  }
  return ++side_messages_ > kMaxSideMessages;
}

absl::StatusOr<Message> Tunnel::Understand(const tls::Record& record) {
  if (record.type != tls::kControl) {
    return absl::InvalidArgumentError("application data outside a connection");
  }
  absl::StatusOr<Message> message = Decode(record.payload);
  if (IsAside(message) && TooManyAside()) {
    return absl::InvalidArgumentError("too many PING, GOAWAY or unknown messages");
  }
  if (!message.ok()) return message.status();
  switch (message->type) {
    case MessageType::kPing:
      // A PONG that cannot be queued means that the peer does not read.
      RETURN_IF_ERROR(Post(MessageType::kPong, message->payload));
      return absl::NotFoundError("PING");
    case MessageType::kPong:
      // Which PING it answers needs no telling: one is on its way at a time, and answers come in
      // order. Of a peer that answers unasked nothing depends but how alive it seems itself.
      ForgetPing();
      return absl::NotFoundError("PONG");
    case MessageType::kGoAway:
      going_away_ = true;
      if (const auto parsed = ParsePayload<proto::GoAway>(*message); parsed.ok()) {
        goodbye_ = parsed->message();
      }
      return absl::NotFoundError("GOAWAY");
    case MessageType::kHello:
      if (greeted_) return Unexpected(*message, "twice");
      return message;
    case MessageType::kOpen:
      if (role_ == Role::kDialer) return Unexpected(*message, "sent to a dialer");
      if (message->connection != connection_ + 1) {
        return Unexpected(*message, "with a connection number out of order");
      }
      return message;
    default:
      if (message->connection != connection_) {
        return Unexpected(*message, "for another connection");
      }
      return message;
  }
}

Awaitable<absl::StatusOr<Message>> Tunnel::Receive(MonotonicTime deadline) {
  for (;;) {
    const absl::StatusOr<tls::Record> record = co_await stream().Receive(deadline);
    if (!record.ok()) co_return WithGoodbye(record.status());
    absl::StatusOr<Message> message = Understand(*record);
    if (!absl::IsNotFound(message.status())) co_return message;
  }
}

absl::StatusOr<Message> Tunnel::TryReceive() {
  for (;;) {
    const absl::StatusOr<tls::Record> record = stream().TryReceive();
    if (!record.ok()) return WithGoodbye(record.status());
    absl::StatusOr<Message> message = Understand(*record);
    if (!absl::IsNotFound(message.status())) return message;
  }
}

// A peer that ends the tunnel in order may have said why.
absl::Status Tunnel::WithGoodbye(const absl::Status& status) const {
  if (!absl::IsOutOfRange(status) || goodbye_.empty()) return status;
  return Annotate(status, absl::StrCat("the peer said goodbye (", goodbye_, ")"));
}

bool Tunnel::reusable() const {
  const auto now = std::chrono::system_clock::now();
  const tls::RecordStream::Usage used = usage();
  return !going_away_ && now < info().peer_not_after &&
         (credentials == nullptr || now < credentials->not_after()) && used.sent < kRetireRecords &&
         used.received < kRetireRecords;
}

Awaitable<void> Tunnel::Reset(proto::Code code, std::string text) {
  going_away_ = true;
  proto::Reset reset;
  reset.set_code(code);
  reset.set_message(std::move(text));
  (void)co_await Send(MessageType::kReset, reset.SerializeAsString(), After(kFarewell));
  co_await Close();
}

Awaitable<void> Tunnel::GoAway(std::string text) {
  proto::GoAway goodbye;
  goodbye.set_message(std::move(text));
  (void)co_await Send(MessageType::kGoAway, goodbye.SerializeAsString(), After(kFarewell));
  co_await Close();
}

Awaitable<void> Tunnel::Close() {
  going_away_ = true;
  co_await stream().CloseNotify(After(kFarewell));
  stream().socket().Close();
}

}  // namespace tombolo::tunnel
