// SPDX-License-Identifier: Apache-2.0
#include "link/channel.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/record_stream.h"

namespace tombolo::link {
namespace {

constexpr Duration kFarewell = std::chrono::seconds(2);
// Records that may be under way when a link ends: more than a link in order has.
constexpr int kMostUnread = 1'000;
// A busy link gets a message for each of its tunnels, at most; a flood may not keep a thread from
// its other connections.
constexpr int kMostMessages = 20'000;
constexpr Duration kWindow = std::chrono::seconds(10);

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

// What a stream's error says about the link.
absl::Status Lost(const absl::Status& status) {
  if (absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status)) return status;
  return absl::UnavailableError(status.message());
}

}  // namespace

Channel::Channel(tls::Session session, Duration ask, Duration answer)
    : session_(std::move(session)),
      ask_(ask),
      answer_(answer),
      heard_at_(std::make_shared<std::atomic<MonotonicTime>>(Now())),
      window_(*heard_at_) {}

absl::Status Channel::Post(const Message& message) {
  return session_.stream->PostControl(Encode(message));
}

bool Channel::TooMany() {
  const MonotonicTime now = Now();
  if (now - window_ > kWindow) {
    window_ = now;
    messages_ = 0;
  }
  return ++messages_ > kMostMessages;
}

absl::StatusOr<Message> Channel::Understand(const tls::Record& record) {
  *heard_at_ = Now();
  asked_ = false;
  if (record.type != tls::kControl) {
    return absl::InvalidArgumentError("link: application data on a control connection");
  }
  if (TooMany()) return absl::InvalidArgumentError("link: too many messages");
  return Decode(record.payload);
}

Awaitable<absl::StatusOr<Hello>> Channel::ReceiveHello(MonotonicTime deadline) {
  const absl::StatusOr<tls::Record> record = co_await session_.stream->Receive(deadline);
  if (!record.ok()) co_return Lost(record.status());
  CO_ASSIGN_OR_RETURN(const Message message, Understand(*record));
  if (const auto* goodbye = std::get_if<GoAway>(&message)) {
    co_return absl::PermissionDeniedError(absl::StrCat("refused: ", goodbye->why));
  }
  const auto* hello = std::get_if<Hello>(&message);
  if (hello == nullptr) {
    co_return absl::InvalidArgumentError(absl::StrCat("link: ", NameOf(message), " before HELLO"));
  }
  if (hello->version != kVersion) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("link: version ", static_cast<int>(hello->version), " is not known here"));
  }
  co_return *hello;
}

Awaitable<absl::StatusOr<Message>> Channel::Receive(MonotonicTime until) {
  for (;;) {
    if (std::exchange(interrupted_, false)) co_return absl::CancelledError("interrupted");
    const MonotonicTime due = asked_ ? asked_at_ + answer_ : heard_at_->load() + ask_;
    const absl::StatusOr<tls::Record> record =
        co_await session_.stream->Receive(std::min(until, due));
    if (absl::IsDeadlineExceeded(record.status())) {
      if (until <= due) co_return record.status();
      if (asked_) co_return absl::UnavailableError("no answer to PING");
      asked_ = true;
      asked_at_ = Now();
      CO_RETURN_IF_ERROR(Post(Ping()));
      continue;
    }
    if (absl::IsCancelled(record.status()) && interrupted_) continue;
    if (!record.ok()) co_return Lost(record.status());
    absl::StatusOr<Message> message = Understand(*record);
    if (absl::IsNotFound(message.status())) continue;
    if (!message.ok()) co_return message.status();
    if (std::holds_alternative<Hello>(*message)) {
      co_return absl::InvalidArgumentError("link: HELLO twice");
    }
    if (std::holds_alternative<Ping>(*message)) {
      CO_RETURN_IF_ERROR(Post(Pong()));
    } else if (!std::holds_alternative<Pong>(*message)) {
      co_return message;
    }
  }
}

void Channel::Interrupt() {
  interrupted_ = true;
  session_.stream->CancelReceive();
}

Awaitable<void> Channel::Close(std::string why) {
  const MonotonicTime deadline = After(kFarewell);
  (void)Post(GoAway{std::move(why)});
  co_await session_.stream->CloseNotify(deadline);
  // With what has arrived unread, closing would be a reset, which may overtake the goodbye.
  // Nor may a peer that goes on sending keep this thread: receiving what is there already does not
  // wait.
  absl::Status status;
  for (int i = 0; i < kMostUnread && status.ok() && Now() < deadline; ++i) {
    status = (co_await session_.stream->Receive(deadline)).status();
  }
  session_.stream->socket().Close();
}

}  // namespace tombolo::link
