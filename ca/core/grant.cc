// SPDX-License-Identifier: Apache-2.0
#include "core/grant.h"

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "core/join_token.h"
#include "core/place.h"
#include "tls/jwt.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kQuoted = 256;

absl::Status Unproven(absl::string_view why) { return absl::UnauthenticatedError(why); }
absl::Status Refused(absl::string_view why) { return absl::PermissionDeniedError(why); }

// What a stranger has written, for a message.
std::string Quote(absl::string_view text) {
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kQuoted)), "'");
}

// The identity that a request names; empty: none.
absl::StatusOr<SpiffeId> NamedBy(const Wish& wish) {
  if (wish.uris.empty()) return SpiffeId();
  if (wish.uris.size() > 1) {
    return absl::InvalidArgumentError("certificate request: names more than one URI");
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(wish.uris[0]);
  if (id.ok()) return id;
  return absl::InvalidArgumentError(
      absl::StrCat("certificate request: ", Quote(wish.uris[0]), " is not a SPIFFE ID"));
}

absl::Status CheckNotRevoked(const SpiffeId& id, absl::string_view serial,
                             const GrantRules& rules) {
  const absl::Status status = rules.revoked.Check(id, serial);
  return status.ok() ? status : Refused(status.message());
}

absl::Status CheckPeer(const Peer& peer, const GrantRules& rules, WallTime now) {
  if (peer.id.trust_domain() != rules.trust_domain) {
    return Refused(absl::StrCat("'", peer.id.text(), "' is of another trust domain"));
  }
  // It was good at the handshake, which may be a while ago.
  if (peer.not_after <= now) return Unproven("the client certificate has expired");
  return CheckNotRevoked(peer.id, peer.serial, rules);
}

// The only identity that a credential is for.
absl::Status CheckNamed(const SpiffeId& named, const Grant& grant) {
  if (named.empty() || named == grant.id) return absl::OkStatus();
  return Refused(absl::StrCat(grant.requester, " is for '", grant.id.text(), "', not for '",
                              named.text(), "'"));
}

absl::StatusOr<Grant> ByOwnName(const Peer& peer) {
  const SpiffeId::Name name = peer.id.name();
  Grant grant{.id = peer.id,
              .cluster = std::string(name.cluster),
              .node = {},
              .requester = absl::StrCat("the SVID of '", peer.id.text(), "'"),
              .payment = {}};
  if (name.kind == SpiffeId::Kind::kWorkload) {
    grant.node = peer.node;
  } else {
    grant.node = PlaceOf(peer.id);
    if (grant.node.empty()) {
      return Refused(
          absl::StrCat("'", peer.id.text(), "' is neither a node, a gateway nor a workload"));
    }
  }
  return grant;
}

absl::StatusOr<Grant> BySvid(const Peer& peer, const SpiffeId& named, const Wish& wish,
                             const GrantRules& rules) {
  ASSIGN_OR_RETURN(Grant grant, ByOwnName(peer));
  const bool own = named.empty() || named == peer.id;
  if (own || wish.renew || peer.id.name().kind != SpiffeId::Kind::kNode) {
    RETURN_IF_ERROR(CheckNamed(named, grant));
    return grant;
  }
  const auto workloads = rules.registrations.find(grant.node);
  if (workloads == rules.registrations.end() || !workloads->second.contains(named.text())) {
    return Refused(
        absl::StrCat("the directory has no workload '", named.text(), "' on node ", grant.node));
  }
  // A directory's workload need not be of its node's own cluster by its name: whose it is decides
  // who signs, and nobody else's authority would.
  if (named.name().cluster != grant.cluster) {
    return Refused(
        absl::StrCat("'", named.text(), "' is of another cluster than node ", grant.node));
  }
  grant.id = named;
  return grant;
}

absl::Status CheckJoinToken(const Credential& credential, WallTime now) {
  const std::optional<Token>& record = credential.join_token;
  if (!record) return Unproven("the join token is not known");
  if (record->spent && !PaysAgain(*record, credential.key)) {
    return Unproven("the join token has been used already");
  }
  if (record->expires <= now) return Unproven("the join token has expired");
  return absl::OkStatus();
}

absl::StatusOr<Grant> ByJoinToken(const Credential& credential, const GrantRules& rules,
                                  WallTime now) {
  RETURN_IF_ERROR(CheckJoinToken(credential, now));
  const Token& token = *credential.join_token;
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(token.subject));
  const SpiffeId::Name name = id.name();
  const bool agent = !PlaceOf(id).empty();
  const bool right = token.kind == Kind::kNode ? agent : name.kind == SpiffeId::Kind::kWorkload;
  if (!right || id.trust_domain() != rules.trust_domain) {
    return Refused("the join token is for nothing that can be issued");
  }
  // Of a token that pays again: what it paid for may have been revoked meanwhile.
  RETURN_IF_ERROR(CheckNotRevoked(id, token.serial, rules));
  Grant grant{.id = id,
              .cluster = std::string(name.cluster),
              .node = PlaceOf(id),
              .requester = absl::StrCat("join token ", token.digest.substr(0, 8)),
              .payment = Payment{.digest = token.digest,
                                 .kind = token.kind,
                                 .subject = token.subject,
                                 .key = credential.key}};
  return grant;
}

struct VerifiedToken {
  std::string cluster;
  const ClusterRegistration* registration = nullptr;
  tls::ServiceAccountToken token;
};

// Clusters may call themselves the same (kubeadm's do): then the keys tell them apart.
absl::StatusOr<VerifiedToken> Verify(const std::string& text, const GrantRules& rules,
                                     WallTime now) {
  const absl::StatusOr<std::string> issuer = tls::UnverifiedIssuer(text);
  if (!issuer.ok()) return Unproven(issuer.status().message());
  std::optional<VerifiedToken> verified;
  absl::Status why =
      Unproven(absl::StrCat("token: no registered cluster has the issuer ", Quote(*issuer)));
  bool asked = false, unknown = false;
  for (const auto& [name, cluster] : rules.clusters) {
    const ClusterRegistration& registration = cluster.registration;
    if (registration.issuer != *issuer) continue;
    if (!cluster.known) {
      unknown = true;
      continue;
    }
    absl::StatusOr<tls::ServiceAccountToken> token = tls::VerifyServiceAccountToken(
        text, cluster.keys, {.issuer = registration.issuer, .audience = registration.audience},
        now);
    if (!token.ok()) {
      // What a cluster whose key it is says about it is worth more than that others lack the key.
      if (!asked || !absl::IsNotFound(token.status())) why = token.status();
      asked = true;
      continue;
    }
    if (verified) return Unproven("token: holds for two clusters, which share an issuer and keys");
    verified =
        VerifiedToken{.cluster = name, .registration = &registration, .token = *std::move(token)};
  }
  if (verified) return *std::move(verified);
  if (unknown && (!asked || absl::IsNotFound(why))) {
    return absl::UnavailableError(
        "token: the keys of its issuer are not known, as it could not be asked");
  }
  return Unproven(why.message());
}

absl::StatusOr<Grant> ByServiceAccount(const std::string& text, const GrantRules& rules,
                                       WallTime now) {
  ASSIGN_OR_RETURN(const VerifiedToken verified, Verify(text, rules, now));
  const tls::ServiceAccountToken& token = verified.token;
  if (token.pod_name.empty() || token.pod_uid.empty()) {
    return Refused("token: is not bound to a pod");
  }
  const ClusterRegistration& registration = *verified.registration;
  Grant grant{.id = {},
              .cluster = verified.cluster,
              .node = {},
              .requester = absl::StrCat("service account token of ", verified.cluster, ":",
                                        token.ns, "/", token.service_account),
              .payment = {}};
  if (!token.node_name.empty()) grant.node = absl::StrCat(verified.cluster, "/", token.node_name);
  const bool agent = !registration.agent_account.empty() &&
                     registration.agent_namespace == token.ns &&
                     registration.agent_account == token.service_account;
  if (agent && token.node_name.empty()) {
    return Refused(
        "token: is of the agents' account, but bound to no node (Kubernetes 1.30 has "
        "that)");
  }
  absl::StatusOr<SpiffeId> id =
      agent ? SpiffeId::ForNode(rules.trust_domain, verified.cluster, token.node_name)
            : SpiffeId::ForWorkload(rules.trust_domain, verified.cluster, token.ns,
                                    token.service_account);
  if (!id.ok()) return Refused(absl::StrCat("token: ", id.status().message()));
  grant.id = *std::move(id);
  return grant;
}

// A token that a caller with an SVID shows beside it.
absl::Status CheckBeside(const Peer& peer, Grant& grant) {
  const std::string place = PlaceOf(peer.id);
  if (peer.id.name().kind != SpiffeId::Kind::kNode) {
    return Refused(absl::StrCat("'", peer.id.text(),
                                "' is no node: only a node may show a token beside its SVID"));
  }
  if (grant.payment && grant.node.empty()) {
    // As with an SVID alone: who revokes a cluster has revoked all that its nodes were given.
    if (grant.cluster != peer.id.name().cluster) {
      return Refused(
          absl::StrCat("'", grant.id.text(), "' is of another cluster than node ", place));
    }
    grant.node = place;
  }
  if (grant.payment || grant.node == place) return absl::OkStatus();
  return Refused(absl::StrCat(
      grant.requester, " is ",
      grant.node.empty() ? "bound to no node" : absl::StrCat("bound to node ", grant.node),
      ", not to ", place));
}

absl::StatusOr<Grant> ByToken(const Credential& credential, const SpiffeId& named,
                              const GrantRules& rules, WallTime now) {
  absl::StatusOr<Grant> grant = IsJoinToken(credential.token)
                                    ? ByJoinToken(credential, rules, now)
                                    : ByServiceAccount(credential.token, rules, now);
  RETURN_IF_ERROR(grant.status());
  if (credential.peer) RETURN_IF_ERROR(CheckBeside(*credential.peer, *grant));
  RETURN_IF_ERROR(CheckNamed(named, *grant));
  return grant;
}

// Neither whom the certificate would name, nor where it would be used.
absl::Status CheckGrant(const Grant& grant, const GrantRules& rules) {
  RETURN_IF_ERROR(CheckNotRevoked(grant.id, "", rules));
  if (grant.node.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const SpiffeId node, AgentAt(rules.trust_domain, grant.node));
  return CheckNotRevoked(node, "", rules);
}

}  // namespace

absl::StatusOr<Grant> Decide(const Credential& credential, const Wish& wish,
                             const GrantRules& rules, WallTime now) {
  if (credential.peer) RETURN_IF_ERROR(CheckPeer(*credential.peer, rules, now));
  if (!credential.peer && wish.renew) {
    return Unproven("only the holder of an SVID can renew it: no client certificate");
  }
  if (!credential.peer && credential.token.empty()) {
    return Unproven("no credential: neither a client certificate nor a token");
  }
  ASSIGN_OR_RETURN(const SpiffeId named, NamedBy(wish));
  const bool by_svid = credential.peer && (wish.renew || credential.token.empty());
  absl::StatusOr<Grant> grant = by_svid ? BySvid(*credential.peer, named, wish, rules)
                                        : ByToken(credential, named, rules, now);
  RETURN_IF_ERROR(grant.status());
  RETURN_IF_ERROR(CheckGrant(*grant, rules));
  return grant;
}

}  // namespace tombolo::ca
