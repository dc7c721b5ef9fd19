// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "link/tokens.h"

// What two gateways say to each other on a control connection, tombolo-link/1. Each message is one
// TLS record of type tls::kControl:
//
//   0        1        2                 4
//   +--------+--------+-----------------+----------------
//   | type   | flags  | payload length  | payload ...
//   +--------+--------+-----------------+----------------
//
// And how a spare begins, which is TCP without TLS. Numbers are in network byte order.
namespace tombolo::link {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::size_t kHeaderSize = 4;
inline constexpr std::size_t kMaxMessageSize = 4096;  // header included
inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kMaxTokens = 64;        // of one message
inline constexpr std::size_t kMaxGoodbyeSize = 512;  // bytes of text

// A receiver that does not know the type skips the message instead of failing.
inline constexpr std::uint8_t kOptional = 0x01;

// The first message of either side; of the one that was dialled it says that the link is accepted.
struct Hello {
  std::uint8_t version = kVersion;
  std::uint16_t most_spares = 0;  // that this side keeps
  // From the one that dials: it still has the spares and the tokens of its link before this one.
  bool renews = false;
  friend bool operator==(const Hello&, const Hello&) = default;
};
// From the one that was dialled: each is for one spare, which it wants to have now.
struct Offer {
  std::vector<Token> tokens;  // 1 to kMaxTokens
  friend bool operator==(const Offer&, const Offer&) = default;
};
struct Ping {
  friend bool operator==(const Ping&, const Ping&) = default;
};
struct Pong {
  friend bool operator==(const Pong&, const Pong&) = default;
};
// The link ends, and its idle spares with it; what runs goes on.
struct GoAway {
  std::string why;  // for people: printable ASCII
  friend bool operator==(const GoAway&, const GoAway&) = default;
};

using Message = std::variant<Hello, Offer, Ping, Pong, GoAway>;

absl::string_view NameOf(const Message& message);
Bytes Encode(const Message& message);
// InvalidArgument says which bytes are wrong. NotFound: a well-formed optional message of a type
// that this version does not know; skip it.
absl::StatusOr<Message> Decode(absl::Span<const std::uint8_t> record);

// A spare's first byte, with which no TLS record begins (RFC 8446, section 5.1; the types from 64
// on are set aside for what shares a port with TLS, RFC 7983).
inline constexpr std::uint8_t kSpareByte = 'T';
inline constexpr std::size_t kSpareOpening = 2 + std::tuple_size_v<Token>;

Bytes EncodeOpening(const Token& token);
// Of kSpareOpening bytes that begin with kSpareByte. False: of another version.
bool DecodeOpening(absl::Span<const std::uint8_t> bytes, Token& token);

}  // namespace tombolo::link
