// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tunnel.pb.h"

// Control records of tombolo/1. Each is one TLS record of type tls::kControl
// that holds exactly one message:
//
//   0        1        2                 4                                   8
//   +--------+--------+-----------------+-----------------------------------+
//   | type   | flags  | payload length  | connection number                 | payload ...
//   +--------+--------+-----------------+-----------------------------------+
//
// Numbers are in network byte order. The connection number is 0 in HELLO and in
// what concerns the whole tunnel; connections count from 1.
namespace tombolo::tunnel {

inline constexpr std::size_t kHeaderSize = 8;
inline constexpr std::size_t kMaxMessageSize = 4096;  // header included
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kMaxPingSize = 64;

enum class MessageType : std::uint8_t {
  kHello = 1,
  kOpen = 2,
  kResult = 3,
  kEnd = 4,   // no more application data from this side
  kDone = 5,  // acceptor: the endpoint's socket is drained and closed
  kReset = 6,
  kPing = 7,  // payload of at most 64 bytes, echoed by PONG
  kPong = 8,
  kGoAway = 9,
};
absl::string_view Name(MessageType type);

// A receiver that does not know the type skips the message instead of failing.
inline constexpr std::uint8_t kOptional = 0x01;

struct Message {
  MessageType type = MessageType::kHello;
  std::uint32_t connection = 0;
  std::string payload;
};

using Bytes = std::vector<std::uint8_t>;

Bytes Encode(const Message& message);

// InvalidArgument says which bytes are wrong. NotFound: a well-formed optional
// message of a type that this version does not know; skip it.
absl::StatusOr<Message> Decode(absl::Span<const std::uint8_t> record);

// A payload of protobuf type T; InvalidArgument when it does not parse.
template <typename T>
absl::StatusOr<T> ParsePayload(const Message& message) {
  T parsed;
  if (!parsed.ParseFromString(message.payload)) {
    return absl::InvalidArgumentError(std::string(Name(message.type)) + " does not parse");
  }
  return parsed;
}

// Checks lengths and ranges of what a peer sent.
absl::Status Validate(const proto::Open& open);

absl::string_view Name(proto::Code code);  // "denied", "unavailable", ...

}  // namespace tombolo::tunnel
