// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "identity/schedule.h"
#include "tls/credentials.h"
#include "tls/trust_anchors.h"

namespace tombolo::identity {

// A trust bundle as it came, and what it says. Immutable.
struct Trust {
  std::string text;
  tls::TrustAnchorsPtr anchors;

  const tls::TrustBundle& bundle() const { return anchors->bundle(); }
};
using TrustPtr = std::shared_ptr<const Trust>;

// InvalidArgument says what is wrong with the text. `name` is the file or server that it came from.
absl::StatusOr<TrustPtr> ParseTrust(std::string text, absl::string_view trust_domain,
                                    std::string name);

// What the authority has issued, and nobody has judged yet: PEM.
struct Certified {
  std::string chain, key;
};

// An SVID as it was issued, and what it is worth under the bundle of the day.
struct Svid {
  std::string chain, key;           // PEM
  tls::CredentialsPtr credentials;  // null: that bundle does not accept it
  TrustPtr trust;                   // that bundle
  WallTime obtained;

  bool ValidAt(WallTime now) const {
    return credentials != nullptr && now < credentials->not_after();
  }
};

// Puts together what was issued for `id`. The error says why it is of no use: another identity,
// another key, a chain that does not lead to the bundle, revoked.
absl::StatusOr<Svid> MakeSvid(const SpiffeId& id, Certified issued, const TrustPtr& trust,
                              WallTime obtained);

// What one identity has, and when it is asked for next. A plain value; times are given.
struct Record {
  Svid svid{};
  WallTime due;           // when it is asked for next; the past: now
  unsigned failures = 0;  // attempts in a row
  std::uint64_t all_failures = 0;
  absl::Status error{};              // of the last attempt, or of the bundle about the SVID
  bool tried = false;                // at least once
  bool asking = false;               // an attempt is under way
  WallTime asked = WallTime::min();  // when the last attempt began
  bool alarmed = false;              // ExpiresSoon() has been logged
  bool useless = false;  // the last attempt brought an SVID that does not hold here: a clock?

  void Begin(WallTime now);  // an attempt
  void Issued(Svid fresh, const Pace& pace, double jitter);
  // What an earlier process has kept. When it was had is not known: its validity begins a little
  // before that. One that is tainted is due at once: its authority may be gone before half of its
  // life is over.
  void Restored(Svid kept, const Pace& pace, WallTime now, double jitter);
  void Failed(const absl::Status& why, const Pace& pace, Duration rest, WallTime now,
              double jitter);
  // The same for an attempt that brought something of no use. What was there is kept.
  void Useless(const absl::Status& why, const Pace& pace, WallTime now, double jitter);
  // Drops the SVID at once if it is revoked; Judge() says the rest.
  void DropRevoked(const SpiffeId& id, const tls::Revocations& revoked);
  // Judges the SVID by another bundle. One that this does not accept, or that it taints, is due
  // at once, as Hurry() says.
  void Judge(const SpiffeId& id, const TrustPtr& trust, const Pace& pace, WallTime now);
  // Is due now, or as soon after the last attempt as the pace allows.
  void Hurry(const Pace& pace, WallTime now);
  bool ExpiresSoonAt(WallTime now) const;
  // Whether the last attempt failed because nobody answered it.
  bool Unanswered() const;
  // Whether the authority, or its bundle, says that this identity may have no SVID.
  bool Refused() const;
  // What has failed hurries: something may be different.
  void TryAgain(const Pace& pace, WallTime now);
  // To be called now and then. When the clock was set back since the last attempt, what it was to
  // be done at is as much too late: what has not been asked for yet is due, the rest hurries.
  void LookAtClock(const Pace& pace, WallTime now);
};

}  // namespace tombolo::identity
