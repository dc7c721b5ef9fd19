// SPDX-License-Identifier: Apache-2.0
// A control record from a peer: what is accepted comes back unchanged when it is
// encoded, and an OPEN that is valid has the sizes that the agent relies on.
#include <algorithm>
#include <cstdlib>

#include <google/protobuf/stubs/logging.h>

#include "tunnel/messages.h"

namespace tombolo::tunnel {
namespace {

void Read(absl::Span<const std::uint8_t> record) {
  const absl::StatusOr<Message> message = Decode(record);
  if (!message.ok()) return;
  const Bytes again = Encode(*message);
  if (again.size() != record.size() || again[0] != record[0]) std::abort();
  if (!std::equal(again.begin() + 2, again.end(), record.begin() + 2)) std::abort();
  (void)ParsePayload<proto::Hello>(*message);
  (void)ParsePayload<proto::Result>(*message);
  (void)ParsePayload<proto::Reset>(*message);
  (void)ParsePayload<proto::GoAway>(*message);
  const auto open = ParsePayload<proto::Open>(*message);
  if (!open.ok() || !Validate(*open).ok()) return;
  if (open->connection_id().size() != 16 || open->port() > 65535) std::abort();
  if (open->has_source() && open->source().ip().size() != 16) std::abort();
  if (open->has_endpoint() && open->endpoint().ip().size() != 16) std::abort();
}

}  // namespace
}  // namespace tombolo::tunnel

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // complains of text that is not UTF-8
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tombolo::tunnel::Read({data, size});
  return 0;
}
