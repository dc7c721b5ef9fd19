// SPDX-License-Identifier: Apache-2.0
// How an Issuance follows the trust bundle: held requests in the node's name, which confirm what it
// has; where that cannot be, looks at the public one.
#include <utility>

#include <boost/asio/post.hpp>

#include "base/log.h"
#include "base/status_macros.h"
#include "identity/issuance.h"

namespace tombolo::identity {
namespace {

// Between two polls that brought nothing, if the authority does not hold them.
constexpr Duration kMinPoll = std::chrono::seconds(1);
// With nothing to follow.
constexpr Duration kLookAgain = std::chrono::seconds(10);

WallTime Now() { return std::chrono::system_clock::now(); }

std::optional<std::uint64_t> SequenceOf(const TrustPtr& trust) {
  if (trust == nullptr) return std::nullopt;
  return trust->bundle().sequence;
}

}  // namespace

Awaitable<void> Issuance::FollowTrust() {
  while (!stopping_) {
    // Without either, nothing that runs could be revoked.
    if (trust_.bundle() == nullptr && node_.ContextAt(Now()) == nullptr) {
      co_await SleepUntil(trust_wake_, After(kLookAgain));
      continue;
    }
    const MonotonicTime begun = std::chrono::steady_clock::now();
    const TrustPtr before = trust_.bundle();
    absl::Status status = co_await PollTrust();
    if (stopping_) co_return;
    NoteReach();
    if (!status.ok() && trust_status_.ok()) {
      log::Warning("the trust bundle cannot be followed", {{"reason", status}});
    }
    trust_status_ = std::move(status);
    trust_failures_ = trust_status_.ok() ? 0 : trust_failures_ + 1;
    co_await SleepUntil(trust_wake_, begun + NextLook(trust_.bundle() != before));
  }
}

// From one poll to the next.
Duration Issuance::NextLook(bool news) const {
  const double jitter = RandomJitter(options_);
  if (!trust_status_.ok()) {
    return RetryAfter(options_.pace, trust_failures_, client_.rest(), {}, jitter);
  }
  // What is new is confirmed at once.
  if (announced_ && news && trust_.durable()) return Duration::zero();
  if (announced_) return LookAfter({}, kMinPoll, jitter);
  const TrustPtr& trust = trust_.bundle();
  const Duration hint = trust == nullptr ? Duration::zero() : trust->bundle().refresh_hint;
  return LookAfter(hint, options_.public_poll, jitter);
}

// OK also when there is nothing new.
Awaitable<absl::Status> Issuance::PollTrust() {
  // What the disk did not take before.
  trust_.Keep();
  node_.Keep();
  announced_ = false;
  absl::Status status;
  const HttpsContextPtr own = node_.ContextAt(Now());
  if (own != nullptr && trust_.durable()) {
    announced_ = true;
    status = co_await PollByItself(own);
    if (status.ok()) co_return status;
  }
  // One whose SVID has ended, or is not wanted because it is revoked, still has connections.
  if (!announced_ || RefusesCertificate(status)) {
    announced_ = false;
    CO_ASSIGN_OR_RETURN(const TrustPtr base, trust_.Base());
    status = co_await PollPublic(base, /*corrected=*/false);
    if (status.ok()) co_return status;
  }
  // Closed: who was reached, and has answered or not, is the authority of the bundle that is held,
  // and another `trust` no way back to what that has revoked.
  if (!ServerNotAccepted(status)) co_return status;
  const absl::StatusOr<TrustPtr> corrected = trust_.Corrected();
  if (!corrected.ok() || *corrected == nullptr) co_return status;
  const absl::Status anew = co_await PollPublic(*corrected, /*corrected=*/true);
  if (anew.ok()) status = anew;
  co_return status;
}

Awaitable<absl::Status> Issuance::PollByItself(HttpsContextPtr context) {
  CO_ASSIGN_OR_RETURN(
      std::optional<std::string> text,
      co_await client_.FetchTrust(std::move(context), SequenceOf(trust_.bundle()), options_.poll));
  co_return co_await TakeNews(std::move(text), /*corrected=*/false);
}

Awaitable<absl::Status> Issuance::PollPublic(TrustPtr trust, bool corrected) {
  CO_ASSIGN_OR_RETURN(HttpsContextPtr context, node_.Anonymous(*trust));
  // Another authority's number is another's.
  std::optional<std::uint64_t> held;
  if (!corrected) held = SequenceOf(trust_.bundle());
  CO_ASSIGN_OR_RETURN(std::optional<std::string> text,
                      co_await client_.FetchPublicTrust(std::move(context), held));
  co_return co_await TakeNews(std::move(text), corrected);
}

Awaitable<absl::Status> Issuance::TakeNews(std::optional<std::string> text, bool corrected) {
  if (!text) co_return absl::OkStatus();
  CO_ASSIGN_OR_RETURN(TrustPtr trust, trust_.Read(*std::move(text), corrected));
  if (trust != nullptr) co_await TakeTrust(std::move(trust));
  co_return absl::OkStatus();
}

// First what is urgent, the connections of what is revoked; then what takes its time.
Awaitable<void> Issuance::TakeTrust(TrustPtr trust) {
  log::Info("trust bundle taken over", {{"sequence", trust->bundle().sequence}});
  trust_.Take(trust);
  node_.record().DropRevoked(node_.id(), trust->bundle().revoked);
  for (auto& [id, record] : roster_.records()) record.DropRevoked(id, trust->bundle().revoked);
  AnnounceNow();
  node_.Judge(Now());
  // Each chain is verified again: others get their turn in between.
  while (const SpiffeId* id = roster_.FindOtherThan(trust)) {
    roster_.Find(*id)->Judge(*id, trust, options_.pace, Now());
    co_await asio::post(node_wake_.get_executor(), asio::use_awaitable);
  }
  AnnounceNow();
  trust_.Keep();
  node_wake_.cancel();
  workloads_wake_.cancel();
}

}  // namespace tombolo::identity
