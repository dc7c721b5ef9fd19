// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/trust_state.h"

// How a trust domain gets a new root while everything runs (docs/authority.md, "Root rotation").
// Pure functions: each returns the next state, or FailedPrecondition with why this is not the time
// for it.
namespace tombolo::ca {

enum class RotationStep {
  kPrepare,
  kUndoPrepare,
  kActivate,
  kUndoActivate,
  kTaint,
  kUndoTaint,
  kRevoke,
};

// FailedPrecondition when it is not the time for a step, or an authority that would sign after it
// is missing.
absl::Status CheckTime(RotationStep step, const TrustState& state);

// `authorities` are below `root`: those that can be made now, so that agents know them before they
// sign. Where the root's key is elsewhere they come by InstallAuthority().
absl::StatusOr<TrustState> PrepareRoot(TrustState state, TrustRoot root,
                                       std::vector<TrustAuthority> authorities);
absl::StatusOr<TrustState> UndoPrepare(TrustState state);
// Both only change whose authorities sign: every cluster has to have one there.
absl::StatusOr<TrustState> ActivateRoot(TrustState state);
absl::StatusOr<TrustState> UndoActivate(TrustState state);
absl::StatusOr<TrustState> TaintRoot(TrustState state);
absl::StatusOr<TrustState> UndoTaint(TrustState state);
absl::StatusOr<TrustState> RevokeRoot(TrustState state);

// The clusters that have an authority below the active root and none below `root`.
std::vector<std::string> ClustersWithout(const TrustState& state, const std::string& root);

// A new authority, or a new certificate of one whose key stays. AlreadyExists when its place is
// another key's.
absl::StatusOr<TrustState> InstallAuthority(TrustState state, TrustAuthority authority);

// NotFound when it is not there.
absl::StatusOr<TrustState> Federate(TrustState state, const std::string& trust_domain,
                                    const std::string& bundle);
absl::StatusOr<TrustState> Unfederate(TrustState state, const std::string& trust_domain);

// What is known of agents and identities.
struct RotationEvidence {
  // Everyone who has a certificate that is neither expired nor revoked. One that runs on several
  // nodes is one on each.
  struct Holder {
    std::string subject;  // the SPIFFE ID
    std::string node;     // as a certificate's record has it; of a server: which replica
    std::string newest_issuer;
    std::set<std::string> issuers;
    std::string Text() const;  // with the node, when it has one that does not say so itself
  };
  std::vector<Holder> holders;
  std::int64_t sequence = 0;  // of the first bundle with the state of now
  // "<cluster>/<node>" -> the bundle that it holds, of nodes that are not revoked.
  std::map<std::string, std::int64_t> acks;
  // Of those, who cannot ask for a newer one with what they have: nothing that was issued for them
  // is good any more, and nothing was issued for them within the last day. Nobody when the audit
  // log has no entry of the last day, or one that is still to come.
  std::set<std::string> expired;
};

// Whom a step has to wait for, because it would cut them off.
struct Waiting {
  std::vector<std::string> agents;      // "<cluster>/<node>": do not hold the bundle of now yet
  std::vector<std::string> identities;  // depend on certificates that would not be good any more
  // "<cluster>/<node>": would be agents, but have expired. Nobody waits for them. Before a rotation
  // is prepared, all who have.
  std::vector<std::string> expired{};
  bool empty() const { return agents.empty() && identities.empty(); }
  // For an operator; name the first few.
  std::string Text() const;
  std::string ExpiredText() const;  // empty when there are none
};
Waiting WaitsFor(RotationStep step, const TrustState& state, const RotationEvidence& evidence);

}  // namespace tombolo::ca
