// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace tombolo::ca {

// What strangers can take of the server. A connection costs about 100 KiB of memory, whatever it
// does.
struct ServerLimits {
  // Of all threads. The next one is reset at once: a client with other replicas to go to is better
  // off when it knows, and in the kernel's backlog it would wait behind whoever fills the slots.
  int connections = 4096;
  // Of those without an SVID (shown yet), so that the others have room whoever knocks. And of those
  // again: who is through the handshake, so that there is room for handshakes, which end in time.
  int strangers = 2048;
  int nameless = 1024;
  // Without an SVID (shown yet), from one IPv4 address or one IPv6 /64: whole clusters may be
  // behind one.
  int per_address = 256;
  int per_identity = 16;  // with an SVID, of one identity
  int enrolments = 256;   // under way at a time; the next one is 429

  std::uint32_t header_bytes = 16 * 1024;  // of one request; tokens are in it

  Duration handshake = std::chrono::seconds(10);
  // From its first byte to its last, so a client that sends byte by byte gains nothing. The
  // connection's first one has that long from the handshake on.
  Duration header = std::chrono::seconds(10);
  Duration body = std::chrono::seconds(10);
  Duration enrolment = std::chrono::seconds(30);
  Duration write = std::chrono::seconds(30);  // one response
  Duration idle = std::chrono::seconds(30);   // between two requests

  std::chrono::seconds longest_wait{60};          // of what asks to be held
  Duration gone_check = std::chrono::seconds(5);  // how often a held one's client is looked at
};

}  // namespace tombolo::ca
