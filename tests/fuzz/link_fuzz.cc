// SPDX-License-Identifier: Apache-2.0
// What a gateway at the other end of a link sends, and how a spare begins: what is accepted comes
// back unchanged when it is encoded, unless it is a HELLO, of which a later version may have more.
#include <algorithm>
#include <cstdlib>
#include <variant>

#include "link/messages.h"

namespace tombolo::link {
namespace {

void Read(absl::Span<const std::uint8_t> bytes) {
  Token token;
  if (DecodeOpening(bytes, token)) {
    const Bytes again = EncodeOpening(token);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
  }
  const absl::StatusOr<Message> message = Decode(bytes);
  if (!message.ok()) return;
  const Bytes again = Encode(*message);
  const auto read = Decode(again);
  if (!read.ok() || *read != *message) std::abort();
  if (again.size() > kMaxMessageSize || again[0] != bytes[0]) std::abort();
  if (std::holds_alternative<Hello>(*message)) return;
  if (!std::equal(again.begin() + 2, again.end(), bytes.begin() + 2, bytes.end())) std::abort();
}

}  // namespace
}  // namespace tombolo::link

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tombolo::link::Read({data, size});
  return 0;
}
