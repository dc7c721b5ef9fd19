// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/time.h"

// When an SVID is asked for. Pure functions; `jitter` is a random number from -1 to 1, so that
// nodes which began together do not stay together.
namespace tombolo::identity {

// How often one identity is asked for. Others than the defaults are for tests.
struct Pace {
  Duration first_retry = std::chrono::seconds(1);
  Duration max_retry = std::chrono::minutes(1);
  Duration min_retry = std::chrono::milliseconds(250);  // however soon the SVID expires
  // From one attempt to a next one that has not failed, or that something else than time asks for:
  // however short an SVID lives, and however often bundles and servers come and go.
  Duration min_renewal = std::chrono::seconds(5);
};

// When an SVID that was had at `obtained` is renewed: after half of what it had left then, give or
// take a tenth of that.
WallTime RenewAt(WallTime obtained, WallTime not_after, double jitter);

// How long to wait after `failures` (at least 1) attempts in a row have failed: twice as long each
// time, a quarter more or less, up to the pace's limit; not less than the authority has asked for
// (`rest`). An SVID that still has `left` to live has time for three more attempts, or four,
// whatever the others say. Zero: it has nothing to lose.
Duration RetryAfter(const Pace& pace, unsigned failures, Duration rest, Duration left,
                    double jitter);

// How long to wait between two looks at a bundle that nobody announces: as long as it says (`hint`;
// zero: it says nothing), but not longer than `most`, and up to a quarter less.
Duration LookAfter(Duration hint, Duration most, double jitter);

// Whether less than a quarter of that life is left: somebody should look.
bool ExpiresSoon(WallTime obtained, WallTime not_after, WallTime now);

}  // namespace tombolo::identity
