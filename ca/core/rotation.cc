// SPDX-License-Identifier: Apache-2.0
#include "core/rotation.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "core/place.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kNamed = 5;

absl::Status NotNow(absl::string_view why) { return absl::FailedPreconditionError(why); }

std::string Short(const TrustRoot& root) { return absl::StrCat("root ", root.id.substr(0, 8)); }

// Where each step but the first begins.
struct Beginning {
  RotationStep step;
  RootState other;              // what the root that is not active has to be
  absl::string_view otherwise;  // what is said when it is not
  bool signs = false;           // that root's authorities sign from then on
};
constexpr Beginning kBeginnings[] = {
    {RotationStep::kUndoPrepare, RootState::kPrepared, "no root is prepared"},
    {RotationStep::kActivate, RootState::kPrepared, "no root is prepared", /*signs=*/true},
    {RotationStep::kUndoActivate, RootState::kOld, "there is no activation to undo",
     /*signs=*/true},
    {RotationStep::kTaint, RootState::kOld, "only the root that was active before can be tainted"},
    {RotationStep::kUndoTaint, RootState::kTainted, "no root is tainted"},
    {RotationStep::kRevoke, RootState::kTainted, "only a tainted root can be revoked"},
};

// The root that is not active, if this is the time for `step`.
absl::StatusOr<TrustRoot*> OtherFor(RotationStep step, TrustState& state) {
  RETURN_IF_ERROR(CheckTime(step, state));
  return &*std::find_if(state.roots.begin(), state.roots.end(),
                        [](const TrustRoot& root) { return root.state != RootState::kActive; });
}

TrustRoot& ActiveOf(TrustState& state) {
  return *std::find_if(state.roots.begin(), state.roots.end(),
                       [](const TrustRoot& root) { return root.state == RootState::kActive; });
}

absl::StatusOr<TrustState> Checked(TrustState state) {
  RETURN_IF_ERROR(Check(state));
  return state;
}

TrustState Without(TrustState state, const std::string& root) {
  std::erase_if(state.authorities,
                [&](const TrustAuthority& authority) { return authority.root == root; });
  std::erase_if(state.roots, [&](const TrustRoot& one) { return one.id == root; });
  return state;
}

// A step that moves the signing below `root` would leave whoever has no authority there without
// one.
absl::Status CheckAuthorities(const TrustState& state, const TrustRoot& root) {
  const std::vector<std::string> missing = ClustersWithout(state, root.id);
  if (missing.empty()) return absl::OkStatus();
  absl::string_view advice = "'tombolo-ca cluster add' makes a cluster's";
  if (root.key.empty()) {
    advice = "'tombolo-ca csr' makes a request for each, 'tombolo-ca install' takes the answer";
  } else if (std::find(missing.begin(), missing.end(), "") != missing.end()) {
    advice = "'tombolo-ca root prepare --undo' and 'root prepare' make the server's and all others";
  }
  return NotNow(absl::StrCat("below ", Short(root), " there is no authority yet of '",
                             absl::StrJoin(missing, "', '"), "' ('' is the server): ", advice));
}

absl::StatusOr<TrustState> Move(TrustState state, RotationStep step, RootState to) {
  ASSIGN_OR_RETURN(TrustRoot * root, OtherFor(step, state));
  root->state = to;
  return state;
}

// Agents that do not hold the bundle of now: those that have a certificate, and those that have
// been off for longer than it held, as they come back with the bundle that they had. Who has been
// off for a day has to join again, with trust that is given to it anew.
Waiting WaitsForAgents(const RotationEvidence& evidence) {
  Waiting waiting;
  std::set<std::string> behind;
  for (const auto& [agent, sequence] : evidence.acks) {
    if (sequence >= evidence.sequence) continue;
    if (evidence.expired.contains(agent)) {
      waiting.expired.push_back(agent);
    } else {
      behind.insert(agent);
    }
  }
  for (const RotationEvidence::Holder& holder : evidence.holders) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(holder.subject);
    const std::string agent = id.ok() ? PlaceOf(*id) : "";
    if (agent.empty()) continue;
    if (!evidence.acks.contains(agent)) behind.insert(agent);
  }
  waiting.agents = {behind.begin(), behind.end()};
  return waiting;
}

bool IsServer(const RotationEvidence::Holder& holder) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(holder.subject);
  return id.ok() && id->name().kind == SpiffeId::Kind::kAuthority;
}

// The ids of the keys that sign below a root, its own among them.
std::set<std::string> KeysBelow(const TrustState& state, const std::string& root) {
  std::set<std::string> keys = {root};
  for (const TrustAuthority& authority : state.authorities) {
    if (authority.root == root) keys.insert(authority.id);
  }
  return keys;
}

std::vector<std::string> IdentitiesWithout(const TrustState& state,
                                           const RotationEvidence& evidence) {
  const std::set<std::string> keys = KeysBelow(state, state.active().id);
  std::vector<std::string> found;
  for (const RotationEvidence::Holder& holder : evidence.holders) {
    if (!keys.contains(holder.newest_issuer)) found.push_back(holder.Text());
  }
  return found;
}

std::vector<std::string> IdentitiesWith(const TrustState& state, const std::string& root,
                                        const RotationEvidence& evidence) {
  const std::set<std::string> keys = KeysBelow(state, root);
  const std::set<std::string> now = KeysBelow(state, state.active().id);
  std::vector<std::string> found;
  for (const RotationEvidence::Holder& holder : evidence.holders) {
    // A replica shows its newest one only, at once.
    if (IsServer(holder) && now.contains(holder.newest_issuer)) continue;
    const bool has = std::any_of(holder.issuers.begin(), holder.issuers.end(),
                                 [&](const std::string& key) { return keys.contains(key); });
    if (has) found.push_back(holder.Text());
  }
  return found;
}

std::string FirstOf(const std::vector<std::string>& names) {
  const std::size_t named = std::min(names.size(), kNamed);
  std::string text = absl::StrJoin(absl::MakeConstSpan(names).subspan(0, named), ", ");
  if (names.size() > named) absl::StrAppend(&text, " and ", names.size() - named, " more");
  return text;
}

}  // namespace

absl::Status CheckTime(RotationStep step, const TrustState& state) {
  const TrustRoot* other = state.other();
  if (step == RotationStep::kPrepare) {
    if (other == nullptr) return absl::OkStatus();
    return NotNow(
        absl::StrCat(Short(*other), " is ", Name(other->state), ": one rotation at a time"));
  }
  for (const Beginning& beginning : kBeginnings) {
    if (beginning.step != step) continue;
    if (other == nullptr) {
      return NotNow(absl::StrCat(beginning.otherwise, ": there is only one root"));
    }
    if (other->state != beginning.other) {
      return NotNow(
          absl::StrCat(beginning.otherwise, ": ", Short(*other), " is ", Name(other->state)));
    }
    return beginning.signs ? CheckAuthorities(state, *other) : absl::OkStatus();
  }
  return absl::InternalError("unknown step");
}

absl::StatusOr<TrustState> PrepareRoot(TrustState state, TrustRoot root,
                                       std::vector<TrustAuthority> authorities) {
  RETURN_IF_ERROR(CheckTime(RotationStep::kPrepare, state));
  for (TrustAuthority& authority : authorities) {
    if (authority.root != root.id) {
      return absl::InvalidArgumentError("an authority is not below the root that is prepared");
    }
    state.authorities.push_back(std::move(authority));
  }
  root.state = RootState::kPrepared;
  state.roots.push_back(std::move(root));
  return Checked(std::move(state));
}

absl::StatusOr<TrustState> UndoPrepare(TrustState state) {
  ASSIGN_OR_RETURN(const TrustRoot* root, OtherFor(RotationStep::kUndoPrepare, state));
  const std::string id = root->id;
  return Without(std::move(state), id);
}

absl::StatusOr<TrustState> ActivateRoot(TrustState state) {
  ASSIGN_OR_RETURN(TrustRoot * root, OtherFor(RotationStep::kActivate, state));
  ActiveOf(state).state = RootState::kOld;
  root->state = RootState::kActive;
  return state;
}

absl::StatusOr<TrustState> UndoActivate(TrustState state) {
  ASSIGN_OR_RETURN(TrustRoot * root, OtherFor(RotationStep::kUndoActivate, state));
  ActiveOf(state).state = RootState::kPrepared;
  root->state = RootState::kActive;
  return state;
}

absl::StatusOr<TrustState> TaintRoot(TrustState state) {
  return Move(std::move(state), RotationStep::kTaint, RootState::kTainted);
}

absl::StatusOr<TrustState> UndoTaint(TrustState state) {
  return Move(std::move(state), RotationStep::kUndoTaint, RootState::kOld);
}

absl::StatusOr<TrustState> RevokeRoot(TrustState state) {
  ASSIGN_OR_RETURN(const TrustRoot* root, OtherFor(RotationStep::kRevoke, state));
  const std::string id = root->id;
  return Without(std::move(state), id);
}

std::vector<std::string> ClustersWithout(const TrustState& state, const std::string& root) {
  std::vector<std::string> clusters;
  for (const TrustAuthority& authority : state.authorities) {
    if (authority.root != state.active().id) continue;
    if (state.FindAuthority(authority.cluster, root) == nullptr) {
      clusters.push_back(authority.cluster);
    }
  }
  return clusters;
}

absl::StatusOr<TrustState> InstallAuthority(TrustState state, TrustAuthority authority) {
  for (TrustAuthority& one : state.authorities) {
    if (one.cluster != authority.cluster || one.root != authority.root) continue;
    if (one.id != authority.id) {
      return absl::AlreadyExistsError(
          absl::StrCat("cluster '", authority.cluster,
                       "' has an authority with another key below this root already"));
    }
    one = std::move(authority);
    return Checked(std::move(state));
  }
  state.authorities.push_back(std::move(authority));
  return Checked(std::move(state));
}

absl::StatusOr<TrustState> Federate(TrustState state, const std::string& trust_domain,
                                    const std::string& bundle) {
  state.federated[trust_domain] = bundle;
  return Checked(std::move(state));
}

absl::StatusOr<TrustState> Unfederate(TrustState state, const std::string& trust_domain) {
  if (state.federated.erase(trust_domain) > 0) return state;
  return absl::NotFoundError(absl::StrCat("'", trust_domain, "' is not a federated trust domain"));
}

std::string RotationEvidence::Holder::Text() const {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(subject);
  const bool says = node.empty() || (id.ok() && !PlaceOf(*id).empty());
  return says ? subject : absl::StrCat(subject, " on ", node);
}

std::string Waiting::Text() const {
  std::vector<std::string> parts;
  if (!agents.empty()) {
    parts.push_back(absl::StrCat(agents.size(), agents.size() == 1 ? " agent does" : " agents do",
                                 " not hold the newest trust bundle: ", FirstOf(agents)));
  }
  if (!identities.empty()) {
    parts.push_back(absl::StrCat(
        identities.size(), identities.size() == 1 ? " identity depends" : " identities depend",
        " on certificates that would not be good any more: ", FirstOf(identities)));
  }
  return absl::StrJoin(parts, "; ");
}

std::string Waiting::ExpiredText() const {
  if (expired.empty()) return "";
  return absl::StrCat(
      expired.size(), expired.size() == 1 ? " node is" : " nodes are",
      " not waited for, as all that was issued there has expired: ", FirstOf(expired),
      "; to join again a node needs the roots of 'root export' as 'trust'");
}

Waiting WaitsFor(RotationStep step, const TrustState& state, const RotationEvidence& evidence) {
  switch (step) {
    case RotationStep::kActivate:
      return WaitsForAgents(evidence);
    case RotationStep::kRevoke: {
      Waiting waiting = WaitsForAgents(evidence);
      waiting.identities = IdentitiesWithout(state, evidence);
      return waiting;
    }
    case RotationStep::kUndoPrepare:
      if (state.other() == nullptr) return {};
      return {.agents = {}, .identities = IdentitiesWith(state, state.other()->id, evidence)};
    case RotationStep::kPrepare: {
      Waiting waiting;  // for nobody, but so those who are gone do not add up
      waiting.expired.assign(evidence.expired.begin(), evidence.expired.end());
      return waiting;
    }
    case RotationStep::kUndoActivate:
    case RotationStep::kTaint:
    case RotationStep::kUndoTaint:
      break;
  }
  return {};
}

}  // namespace tombolo::ca
