// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "agent/context.h"
#include "base/asio.h"
#include "base/fd.h"
#include "net/address.h"

namespace tombolo::agent {

// So often an endpoint is tried for one connection.
inline constexpr std::size_t kMaxAttempts = 8;

// Carries one application's connection, which the hook sent to the listener of
// the network namespace `netns_cookie`: finds out who asked for what, chooses an
// endpoint, opens a tunnel and relays. Whatever goes wrong before bytes flow ends
// as a reset of `client`, which its listener has prepared for (net::ResetOnClose), and a
// line in the log (fail closed).
Awaitable<void> ServeApplication(Context& context, Fd client, std::uint64_t netns_cookie);

// Resets it at once, because `why` (no descriptor) keeps it from being carried.
void RefuseApplication(Context& context, Fd client, std::uint64_t netns_cookie, absl::Status why);

}  // namespace tombolo::agent
