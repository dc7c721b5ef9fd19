// SPDX-License-Identifier: Apache-2.0
#include "link/messages.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::link {
namespace {

using Payload = absl::Span<const std::uint8_t>;

// The variant's index, from 1 on, is the type on the wire.
constexpr std::uint8_t kHello = 1, kOffer = 2, kPing = 3, kPong = 4, kGoAway = 5;
constexpr std::size_t kHelloSize = 4;
constexpr std::size_t kTokenSize = std::tuple_size_v<Token>;

absl::Status Malformed(absl::string_view name, std::size_t size) {
  return absl::InvalidArgumentError(
      absl::StrCat("link: ", name, " has a malformed payload of ", size, " bytes"));
}

void Append(const Hello& hello, Bytes& out) {
  out.push_back(hello.version);
  out.push_back(static_cast<std::uint8_t>(hello.most_spares >> 8));
  out.push_back(static_cast<std::uint8_t>(hello.most_spares));
  out.push_back(hello.renews ? 1 : 0);
}

void Append(const Offer& offer, Bytes& out) {
  for (const Token& token : offer.tokens) out.insert(out.end(), token.begin(), token.end());
}

void Append(const Ping&, Bytes&) {}
void Append(const Pong&, Bytes&) {}

void Append(const GoAway& goodbye, Bytes& out) {
  const std::size_t size = std::min(goodbye.why.size(), kMaxGoodbyeSize);
  for (const char c : absl::string_view(goodbye.why).substr(0, size)) {
    out.push_back(static_cast<std::uint8_t>(absl::ascii_isprint(c) ? c : '?'));
  }
}

// A later version may have more behind it.
absl::StatusOr<Message> ReadHello(Payload payload) {
  if (payload.size() < kHelloSize) return Malformed("HELLO", payload.size());
  Hello hello;
  hello.version = payload[0];
  hello.most_spares = static_cast<std::uint16_t>(payload[1] << 8 | payload[2]);
  hello.renews = (payload[3] & 1) != 0;
  return hello;
}

absl::StatusOr<Message> ReadOffer(Payload payload) {
  if (payload.empty() || payload.size() % kTokenSize != 0 ||
      payload.size() > kMaxTokens * kTokenSize) {
    return Malformed("TOKENS", payload.size());
  }
  Offer offer;
  offer.tokens.resize(payload.size() / kTokenSize);
  for (Token& token : offer.tokens) {
    std::copy_n(payload.begin(), kTokenSize, token.begin());
    payload.remove_prefix(kTokenSize);
  }
  return offer;
}

absl::StatusOr<Message> ReadGoodbye(Payload payload) {
  const bool good = payload.size() <= kMaxGoodbyeSize &&
                    std::all_of(payload.begin(), payload.end(),
                                [](std::uint8_t c) { return absl::ascii_isprint(c); });
  if (!good) return Malformed("GOAWAY", payload.size());
  return GoAway{std::string(payload.begin(), payload.end())};
}

absl::StatusOr<Message> ReadEmpty(Message message, Payload payload) {
  if (!payload.empty()) return Malformed(NameOf(message), payload.size());
  return message;
}

}  // namespace

absl::string_view NameOf(const Message& message) {
  switch (message.index() + 1) {
    case kHello:
      return "HELLO";
    case kOffer:
      return "TOKENS";
    case kPing:
      return "PING";
    case kPong:
      return "PONG";
    default:
      return "GOAWAY";
  }
}

Bytes Encode(const Message& message) {
  Bytes payload;
  std::visit([&payload](const auto& what) { Append(what, payload); }, message);
  const std::size_t size = payload.size();
  Bytes out(kHeaderSize + size);
  std::copy(payload.begin(), payload.end(), out.begin() + kHeaderSize);
  out[0] = static_cast<std::uint8_t>(message.index() + 1);
  out[2] = static_cast<std::uint8_t>(size >> 8);
  out[3] = static_cast<std::uint8_t>(size);
  return out;
}

absl::StatusOr<Message> Decode(absl::Span<const std::uint8_t> record) {
  const auto invalid = [](auto... what) {
    return absl::InvalidArgumentError(absl::StrCat("link: a message ", what...));
  };
  if (record.size() < kHeaderSize) return invalid("of ", record.size(), " bytes is too short");
  if (record.size() > kMaxMessageSize) return invalid("of ", record.size(), " bytes is too long");
  const std::size_t length = std::size_t{record[2]} << 8 | record[3];
  const Payload payload = record.subspan(kHeaderSize);
  if (length != payload.size()) {
    return invalid("claims ", length, " payload bytes and has ", payload.size());
  }
  switch (record[0]) {
    case kHello:
      return ReadHello(payload);
    case kOffer:
      return ReadOffer(payload);
    case kPing:
      return ReadEmpty(Ping(), payload);
    case kPong:
      return ReadEmpty(Pong(), payload);
    case kGoAway:
      return ReadGoodbye(payload);
    default:
      if ((record[1] & kOptional) != 0) return absl::NotFoundError("optional message");
      return invalid("has the unknown type ", static_cast<int>(record[0]));
  }
}

Bytes EncodeOpening(const Token& token) {
  Bytes out(kSpareOpening);
  out[0] = kSpareByte;
  out[1] = kVersion;
  std::copy(token.begin(), token.end(), out.begin() + 2);
  return out;
}

bool DecodeOpening(absl::Span<const std::uint8_t> bytes, Token& token) {
  if (bytes.size() != kSpareOpening || bytes[0] != kSpareByte || bytes[1] != kVersion) return false;
  std::copy_n(bytes.begin() + 2, kTokenSize, token.begin());
  return true;
}

}  // namespace tombolo::link
