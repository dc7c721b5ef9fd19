// SPDX-License-Identifier: Apache-2.0
#include "identity/held_trust.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/trust_bundle.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxOrigin = 256;

}  // namespace

absl::Status HeldTrust::Restore() {
  if (options_.state.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadFile(BundleFile(options_), tls::kMaxTrustBundleSize);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();  // the first start
  if (!text.ok()) return text.status();
  ASSIGN_OR_RETURN(bundle_,
                   ParseTrust(*std::move(text), options_.trust_domain, BundleFile(options_)));
  on_disk_ = bundle_;
  origin_ = KeptOrigin();
  // Closed: only what changes from now on is tried.
  if (!origin_) NoteOrigin();
  return absl::OkStatus();
}

std::optional<HeldTrust::Digest> HeldTrust::KeptOrigin() const {
  const absl::StatusOr<std::string> hex = ReadFile(OriginFile(options_), kMaxOrigin);
  Digest origin;
  const std::string bytes = hex.ok() ? absl::HexStringToBytes(*hex) : "";
  if (!hex.ok() || hex->size() != 2 * origin.size() || bytes.size() != origin.size()) {
    return std::nullopt;
  }
  std::copy(bytes.begin(), bytes.end(), origin.begin());
  return origin;
}

void HeldTrust::NoteOrigin() {
  const auto text = ReadFile(options_.trust, tls::kMaxTrustBundleSize);
  origin_ = text.ok() ? std::optional(tls::Sha256(*text)) : std::nullopt;
  origin_kept_ = false;
}

absl::StatusOr<TrustPtr> HeldTrust::Base() const {
  if (bundle_ != nullptr) return bundle_;
  ASSIGN_OR_RETURN(std::string text, ReadFile(options_.trust, tls::kMaxTrustBundleSize));
  return ParseTrust(std::move(text), options_.trust_domain, options_.trust);
}

absl::StatusOr<TrustPtr> HeldTrust::Corrected() const {
  if (bundle_ == nullptr || !origin_) return TrustPtr();
  ASSIGN_OR_RETURN(std::string text, ReadFile(options_.trust, tls::kMaxTrustBundleSize));
  if (tls::Sha256(text) == *origin_) return TrustPtr();
  return ParseTrust(std::move(text), options_.trust_domain, options_.trust);
}

absl::StatusOr<TrustPtr> HeldTrust::Read(std::string text, bool corrected) const {
  ASSIGN_OR_RETURN(TrustPtr fresh,
                   ParseTrust(std::move(text), options_.trust_domain, "the authority's bundle"));
  if (bundle_ == nullptr || corrected) return fresh;
  const std::uint64_t held = bundle_->bundle().sequence, sent = fresh->bundle().sequence;
  if (sent > held) return fresh;
  if (sent == held) return TrustPtr();
  return absl::FailedPreconditionError(
      absl::StrCat("the authority's trust bundle went back from sequence ", held, " to ", sent,
                   "; was its store restored from a backup?"));
}

void HeldTrust::Take(TrustPtr bundle) {
  bundle_ = std::move(bundle);
  NoteOrigin();
}

void HeldTrust::Keep() {
  if (bundle_ == nullptr || options_.state.empty()) return;
  if (!durable()) {
    state_status_ = ReplacePrivateFile(BundleFile(options_), bundle_->text);
    if (!state_status_.ok()) return;
    on_disk_ = bundle_;
  }
  if (origin_kept_) return;
  // After the bundle: a crash in between leaves the older one's, and roots that are tried once
  // more.
  state_status_ = origin_ ? ReplacePrivateFile(OriginFile(options_), tls::Hex(*origin_))
                          : RemoveFile(OriginFile(options_));
  origin_kept_ = state_status_.ok();
}

}  // namespace tombolo::identity
