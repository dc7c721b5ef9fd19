// SPDX-License-Identifier: Apache-2.0
#include "agent/counters.h"

namespace tombolo::agent {

absl::string_view Name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotCaptured:
      return "not_captured";
    case Refusal::kUnknownSource:
      return "unknown_source";
    case Refusal::kUnknownService:
      return "unknown_service";
    case Refusal::kDenied:
      return "denied";
    case Refusal::kNoCredentials:
      return "no_credentials";
    case Refusal::kNoEndpoint:
      return "no_endpoint";
    case Refusal::kUnavailable:
      return "unavailable";
    case Refusal::kCertificate:
      return "certificate";
    case Refusal::kUncertain:
      return "uncertain";
    case Refusal::kApplicationGone:
      return "application_gone";
    case Refusal::kDraining:
      return "draining";
    case Refusal::kResources:
      return "resources";
    case Refusal::kConnectionLimit:
      return "connection_limit";
    case Refusal::kTunnelLimit:
      return "tunnel_limit";
    case Refusal::kHandshakeLimit:
      return "handshake_limit";
    case Refusal::kCount:
      break;
  }
  return "unknown";
}

}  // namespace tombolo::agent
