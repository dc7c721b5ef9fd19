// SPDX-License-Identifier: Apache-2.0
#include "gateway/refusal.h"

#include "tls/alert.h"

namespace tombolo::gateway {

absl::string_view Name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotTls:
      return "not_tls";
    case Refusal::kTooLarge:
      return "too_large";
    case Refusal::kMalformed:
      return "malformed";
    case Refusal::kNoTls13:
      return "no_tls13";
    case Refusal::kNotTombolo:
      return "not_tombolo";
    case Refusal::kNoServerName:
      return "no_server_name";
    case Refusal::kBadServerName:
      return "bad_server_name";
    case Refusal::kTimeout:
      return "timeout";
    case Refusal::kGone:
      return "gone";
    case Refusal::kUnknownName:
      return "unknown_name";
    case Refusal::kOtherCluster:
      return "other_cluster";
    case Refusal::kNoEndpoint:
      return "no_endpoint";
    case Refusal::kUnavailable:
      return "unavailable";
    case Refusal::kNoLink:
      return "no_link";
    case Refusal::kNoSpare:
      return "no_spare";
    case Refusal::kLink:
      return "link";
    case Refusal::kToken:
      return "token";
    case Refusal::kConnectionLimit:
      return "connection_limit";
    case Refusal::kHandshakeLimit:
      return "handshake_limit";
    case Refusal::kResources:
      return "resources";
    case Refusal::kDraining:
      return "draining";
    case Refusal::kCount:
      break;
  }
  return "unknown";
}

std::optional<std::uint8_t> AlertOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kTooLarge:
      return tls::kRecordOverflow;
    case Refusal::kMalformed:
      return tls::kDecodeError;
    case Refusal::kNoTls13:
      return tls::kProtocolVersion;
    case Refusal::kNotTombolo:
      return tls::kNoApplicationProtocol;
    case Refusal::kNoServerName:
      return tls::kMissingExtension;
    // A dialer takes this for "elsewhere, perhaps", which is what all of them mean.
    case Refusal::kBadServerName:
    case Refusal::kUnknownName:
    case Refusal::kOtherCluster:
    case Refusal::kNoEndpoint:
    case Refusal::kUnavailable:
    case Refusal::kNoLink:
    case Refusal::kNoSpare:
      return tls::kUnrecognizedName;
    default:
      return std::nullopt;
  }
}

}  // namespace tombolo::gateway
