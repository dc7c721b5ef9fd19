// SPDX-License-Identifier: Apache-2.0
#include "tunnel/messages.h"

#include "absl/strings/str_cat.h"

namespace tombolo::tunnel {
namespace {

constexpr std::size_t kConnectionIdSize = 16;
constexpr std::size_t kIpSize = 16;
constexpr std::size_t kMaxNameSize = 512;
constexpr std::uint32_t kMaxPort = 65535;

std::uint32_t ReadBigEndian(absl::Span<const std::uint8_t> bytes) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

void AppendBigEndian(Bytes& out, std::uint32_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

bool IsKnown(std::uint8_t type) {
  return type >= static_cast<std::uint8_t>(MessageType::kHello) &&
         type <= static_cast<std::uint8_t>(MessageType::kGoAway);
}

bool HasNoPayload(MessageType type) {
  return type == MessageType::kEnd || type == MessageType::kDone;
}

absl::Status Validate(const proto::Address& address, absl::string_view what) {
  if (address.ip().size() != kIpSize || address.port() > kMaxPort) {
    return absl::InvalidArgumentError(absl::StrCat("OPEN has a malformed ", what, " address"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view Name(MessageType type) {
  switch (type) {
    case MessageType::kHello:
      return "HELLO";
    case MessageType::kOpen:
      return "OPEN";
    case MessageType::kResult:
      return "RESULT";
    case MessageType::kEnd:
      return "END";
    case MessageType::kDone:
      return "DONE";
    case MessageType::kReset:
      return "RESET";
    case MessageType::kPing:
      return "PING";
    case MessageType::kPong:
      return "PONG";
    case MessageType::kGoAway:
      return "GOAWAY";
  }
  return "unknown";
}

Bytes Encode(const Message& message) {
  Bytes out;
  out.reserve(kHeaderSize + message.payload.size());
  out.push_back(static_cast<std::uint8_t>(message.type));
  out.push_back(0);
  AppendBigEndian(out, static_cast<std::uint32_t>(message.payload.size()), 2);
  AppendBigEndian(out, message.connection, 4);
  out.insert(out.end(), message.payload.begin(), message.payload.end());
  return out;
}

absl::StatusOr<Message> Decode(absl::Span<const std::uint8_t> record) {
  const auto invalid = [](auto... what) {
    return absl::InvalidArgumentError(absl::StrCat("control record ", what...));
  };
  if (record.size() < kHeaderSize) return invalid("of ", record.size(), " bytes is too short");
  if (record.size() > kMaxMessageSize) return invalid("of ", record.size(), " bytes is too long");
  const std::uint8_t type = record[0];
  const std::uint8_t flags = record[1];
  const std::uint32_t length = ReadBigEndian(record.subspan(2, 2));
  if (length != record.size() - kHeaderSize) {
    return invalid("claims ", length, " payload bytes and has ", record.size() - kHeaderSize);
  }
  if (!IsKnown(type)) {
    if (flags & kOptional) return absl::NotFoundError("optional message");
    return invalid("has unknown type ", static_cast<int>(type));
  }
  Message message;
  message.type = static_cast<MessageType>(type);
  message.connection = ReadBigEndian(record.subspan(4, 4));
  message.payload.assign(reinterpret_cast<const char*>(record.data()) + kHeaderSize, length);
  if (HasNoPayload(message.type) && length != 0) {
    return invalid(Name(message.type), " has an unexpected payload");
  }
  if (message.type == MessageType::kPing && length > kMaxPingSize) {
    return invalid("PING has a payload of ", length, " bytes");
  }
  return message;
}

absl::Status Validate(const proto::Open& open) {
  const auto invalid = [](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("OPEN has a malformed ", what));
  };
  if (open.connection_id().size() != kConnectionIdSize) return invalid("connection id");
  if (open.service().empty() || open.service().size() > kMaxNameSize) return invalid("service");
  if (open.endpoint_workload().size() > kMaxNameSize) return invalid("endpoint workload");
  if (open.port() == 0 || open.port() > kMaxPort) return invalid("port");
  if (open.has_source()) {
    if (absl::Status status = Validate(open.source(), "source"); !status.ok()) return status;
  }
  if (open.has_endpoint()) return Validate(open.endpoint(), "endpoint");
  return absl::OkStatus();
}

absl::string_view Name(proto::Code code) {
  switch (code) {
    case proto::CODE_OK:
      return "ok";
    case proto::CODE_DENIED:
      return "denied";
    case proto::CODE_UNAVAILABLE:
      return "unavailable";
    case proto::CODE_NO_SUCH_SERVICE:
      return "no such service";
    case proto::CODE_WRONG_IDENTITY:
      return "wrong identity";
    case proto::CODE_DRAINING:
      return "draining";
    case proto::CODE_APPLICATION_RESET:
      return "application reset";
    case proto::CODE_PROTOCOL_ERROR:
      return "protocol error";
    case proto::CODE_TIMEOUT:
      return "timeout";
    case proto::CODE_KEY_BUDGET:
      return "key budget used up";
    default:
      return "unknown code";
  }
}

}  // namespace tombolo::tunnel
