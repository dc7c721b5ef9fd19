// SPDX-License-Identifier: Apache-2.0
#include "identity/record.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "identity/http_message.h"
#include "tls/handshake_failure.h"

namespace tombolo::identity {

absl::StatusOr<TrustPtr> ParseTrust(std::string text, absl::string_view trust_domain,
                                    std::string name) {
  ASSIGN_OR_RETURN(tls::TrustAnchorsPtr anchors,
                   tls::TrustAnchors::Parse(text, trust_domain, std::move(name)));
  return std::make_shared<const Trust>(
      Trust{.text = std::move(text), .anchors = std::move(anchors)});
}

absl::StatusOr<Svid> MakeSvid(const SpiffeId& id, Certified issued, const TrustPtr& trust,
                              WallTime obtained) {
  const std::string name = absl::StrCat("the SVID of '", id.text(), "'");
  ASSIGN_OR_RETURN(tls::CredentialsPtr credentials,
                   tls::Credentials::FromPem({.chain = issued.chain,
                                              .key = issued.key,
                                              .bundle = {},
                                              .chain_name = name,
                                              .key_name = "its key",
                                              .bundle_name = {}},
                                             trust->anchors));
  if (credentials->id() != id) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the authority issued '", credentials->id().text(), "' instead of '", id.text(), "'"));
  }
  return Svid{.chain = std::move(issued.chain),
              .key = std::move(issued.key),
              .credentials = std::move(credentials),
              .trust = trust,
              .obtained = obtained};
}

void Record::Begin(WallTime now) {
  asking = true;
  asked = now;
}

void Record::Hurry(const Pace& pace, WallTime now) {
  due = std::min(due, std::max(now, asked + pace.min_renewal));
}

void Record::Issued(Svid fresh, const Pace& pace, double jitter) {
  svid = std::move(fresh);
  due = std::max(RenewAt(svid.obtained, svid.credentials->not_after(), jitter),
                 svid.obtained + pace.min_renewal);
  failures = 0;
  error = absl::OkStatus();
  tried = true;
  alarmed = false;
  useless = false;
}

void Record::Restored(Svid kept, const Pace& pace, WallTime now, double jitter) {
  kept.obtained = kept.credentials->not_before();
  Issued(std::move(kept), pace, jitter);
  if (svid.credentials->tainted()) Hurry(pace, now);
}

void Record::Failed(const absl::Status& why, const Pace& pace, Duration rest, WallTime now,
                    double jitter) {
  ++failures;
  ++all_failures;
  error = why;
  tried = true;
  useless = false;
  const Duration left = svid.ValidAt(now) ? svid.credentials->not_after() - now : Duration::zero();
  due = now + RetryAfter(pace, failures, rest, left, jitter);
}

void Record::Useless(const absl::Status& why, const Pace& pace, WallTime now, double jitter) {
  Failed(why, pace, {}, now, jitter);
  useless = true;
}

void Record::DropRevoked(const SpiffeId& id, const tls::Revocations& revoked) {
  if (svid.credentials == nullptr) return;
  absl::Status why = revoked.Check(id, svid.credentials->serial());
  if (why.ok()) return;
  svid.credentials = nullptr;
  error = std::move(why);
}

void Record::Judge(const SpiffeId& id, const TrustPtr& trust, const Pace& pace, WallTime now) {
  if (svid.chain.empty() || svid.trust == trust) return;
  absl::StatusOr<Svid> judged = MakeSvid(id, {svid.chain, svid.key}, trust, svid.obtained);
  if (!judged.ok()) {
    svid.credentials = nullptr;
    svid.trust = trust;
    error = judged.status();
    return Hurry(pace, now);
  }
  // Failed attempts stay what they were; what an earlier bundle said of this SVID does not.
  if (svid.credentials == nullptr && failures == 0) error = absl::OkStatus();
  svid = *std::move(judged);
  if (svid.credentials->tainted()) Hurry(pace, now);
}

bool Record::ExpiresSoonAt(WallTime now) const {
  return svid.credentials != nullptr &&
         ExpiresSoon(svid.obtained, svid.credentials->not_after(), now);
}

void Record::TryAgain(const Pace& pace, WallTime now) {
  if (failures > 0) Hurry(pace, now);
}

void Record::LookAtClock(const Pace& pace, WallTime now) {
  if (!tried) due = std::min(due, now);
  if (asked <= now) return;
  asked = now;
  Hurry(pace, now);
}

bool Record::Refused() const {
  if (tls::ReasonOf(error) == tls::HandshakeFailure::kRevoked) return true;
  return failures > 0 && !useless && IsRefusal(error);
}

bool Record::Unanswered() const {
  return failures > 0 && (absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error));
}

}  // namespace tombolo::identity
