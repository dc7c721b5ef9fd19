// SPDX-License-Identifier: Apache-2.0
#include "agent/attempt_outcome.h"

#include "agent/reserve_descriptor.h"
#include "tls/handshake_failure.h"

namespace tombolo::agent {

using tunnel::OpenOutcome;

OpenOutcome DialFailed(const absl::Status& status) {
  if (OutOfDescriptors(status)) return {OpenOutcome::Kind::kNotTried, status};
  switch (tls::ReasonOf(status)) {
    case tls::HandshakeFailure::kNone:
    case tls::HandshakeFailure::kTimeout:
    case tls::HandshakeFailure::kTransport:
    case tls::HandshakeFailure::kUnknownName:  // it does not serve this, or cannot for now
      return {OpenOutcome::Kind::kNotSent, status};
    case tls::HandshakeFailure::kKernelTls:  // this node's kernel
      return {OpenOutcome::Kind::kNotTried, status};
    default:
      return {OpenOutcome::Kind::kDenied, status};
  }
}

bool Excusable(const OpenOutcome& outcome, bool new_tunnel) {
  return outcome.kind == OpenOutcome::Kind::kNotSent && !absl::IsDeadlineExceeded(outcome.status) &&
         (!new_tunnel || absl::IsOutOfRange(outcome.status));
}

balance::Failure WhatFailed(const OpenOutcome& outcome, bool had_tunnel) {
  const bool answered = outcome.kind == OpenOutcome::Kind::kRefused ||
                        tls::ReasonOf(outcome.status) == tls::HandshakeFailure::kUnknownName;
  const bool silent = absl::IsDeadlineExceeded(outcome.status);
  return answered || (had_tunnel && !silent) ? balance::Failure::kEndpoint : balance::Failure::kWay;
}

Refused ToRefused(const OpenOutcome& outcome) {
  switch (outcome.kind) {
    case OpenOutcome::Kind::kDenied:
      return {tls::ReasonOf(outcome.status) == tls::HandshakeFailure::kNone ? Refusal::kDenied
                                                                            : Refusal::kCertificate,
              outcome.status};
    case OpenOutcome::Kind::kUncertain:
      return {Refusal::kUncertain, outcome.status};
    case OpenOutcome::Kind::kNotTried:
      return {Refusal::kResources, outcome.status};
    case OpenOutcome::Kind::kPlainFailed:
      return {Refusal::kApplicationGone, outcome.status};
    default:
      return {Refusal::kUnavailable, outcome.status};
  }
}

}  // namespace tombolo::agent
