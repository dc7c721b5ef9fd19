// SPDX-License-Identifier: Apache-2.0
#include "tls/arrival.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/record_protection.h"
#include "tls/record_stream.h"

namespace tombolo::tls {
namespace {

// Records without content are allowed (traffic analysis), and so are key updates,
// but not a stream of them that keeps this thread from its other connections.
constexpr int kMaxWithoutContent = 64;

absl::Status ProtocolError(std::uint8_t alert, absl::string_view what) {
  return WithAlert(absl::InvalidArgumentError(what), alert);
}

// RFC 8446, section 6: the level says nothing; user_canceled only announces a
// close_notify; every other alert ends the connection.
absl::Status TakeAlert(absl::Span<const std::uint8_t> payload) {
  if (payload.size() != 2) return ProtocolError(kDecodeError, "alert of a wrong size");
  switch (payload[1]) {
    case kCloseNotify:
      return absl::OutOfRangeError("the peer has closed the connection");
    case kUserCanceled:
      return absl::OkStatus();
    default:
      return absl::PermissionDeniedError(
          absl::StrCat("the peer sent alert ", AlertName(payload[1])));
  }
}

// The only handshake message after the handshake; it must fill its record, since
// the next one has another key (RFC 8446, section 5.1).
absl::StatusOr<Arrival> TakeHandshake(absl::Span<const std::uint8_t> payload) {
  constexpr std::size_t kHead = std::size(kKeyUpdateMessage) - 1;
  const bool key_update = payload.size() == kHead + 1 &&
                          std::equal(kKeyUpdateMessage, kKeyUpdateMessage + kHead, payload.begin());
  if (!key_update) return ProtocolError(kUnexpectedMessage, "unexpected handshake message");
  if (payload[kHead] > 1) return ProtocolError(kIllegalParameter, "malformed KeyUpdate");
  return payload[kHead] == 1 ? Arrival::kKeyUpdateAndRequest : Arrival::kKeyUpdate;
}

}  // namespace

absl::StatusOr<Arrival> ArrivalRules::Judge(std::uint8_t type,
                                            absl::Span<const std::uint8_t> payload) {
  if (type == kControl || (type == kApplicationData && !payload.empty())) {
    without_content_ = 0;
    return Arrival::kDeliver;
  }
  if (++without_content_ > kMaxWithoutContent) {
    return ProtocolError(kUnexpectedMessage, "too many records without content");
  }
  if (type == kHandshake && rekey_) return TakeHandshake(payload);
  if (type == kAlert) {
    RETURN_IF_ERROR(TakeAlert(payload));
  } else if (type != kApplicationData) {
    return ProtocolError(kUnexpectedMessage, absl::StrCat("record of unexpected type ", int{type}));
  }
  return Arrival::kSkip;
}

}  // namespace tombolo::tls
