// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/request.h"
#include "balance/choice.h"
#include "tunnel/open.h"

// What the end of one attempt at opening a connection says: of the attempt, of where it went, and
// of the connection.
namespace tombolo::agent {

// Whether a failed dial may be tried elsewhere: the network's failures may, what
// certificates say may not, and this process's own have nothing to do with where.
tunnel::OpenOutcome DialFailed(const absl::Status& status);

// Whether a tunnel that ended before RESULT says nothing about its endpoint: it died in the pool,
// or the peer ended it in order because the SVID that it was made with has just been replaced.
// Silence excuses nothing: the way is as likely to be dead as the tunnel.
bool Excusable(const tunnel::OpenOutcome& outcome, bool new_tunnel);

// An acceptor says so when its endpoint does not answer: silence is the way's.
balance::Failure WhatFailed(const tunnel::OpenOutcome& outcome, bool had_tunnel);

Refused ToRefused(const tunnel::OpenOutcome& outcome);

}  // namespace tombolo::agent
