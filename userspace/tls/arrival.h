// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tombolo::tls {

// What is to be done with a record that has arrived.
enum class Arrival {
  kDeliver,              // application data or a control record
  kSkip,                 // nothing in it
  kKeyUpdate,            // the peer's next record is under its next key
  kKeyUpdateAndRequest,  // the same, and it wants ours to change too
};

// Judges the records of one stream, in either record layer, before anybody above
// sees them: alerts, KeyUpdate and empty records are dealt with here.
class ArrivalRules {
 public:
  // `rekey`: whether this side has said that it can receive a KeyUpdate.
  explicit ArrivalRules(bool rekey) : rekey_(rekey) {}

  // An error ends the stream: OutOfRange after close_notify, PermissionDenied
  // after a fatal alert, InvalidArgument when the peer broke the protocol
  // (AlertOf() tells what to answer).
  absl::StatusOr<Arrival> Judge(std::uint8_t type, absl::Span<const std::uint8_t> payload);

 private:
  bool rekey_;
  int without_content_ = 0;  // records in a row
};

// RFC 8446, section 4.6.3: KeyUpdate(update_not_requested) as a whole handshake message.
inline constexpr std::uint8_t kKeyUpdateMessage[] = {24, 0, 0, 1, 0};

}  // namespace tombolo::tls
