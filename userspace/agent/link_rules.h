// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "identity/store.h"
#include "mesh/snapshot.h"
#include "net/address.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// A gateway of another cluster, to which this one is to keep a link.
struct LinkTarget {
  std::string cluster{}, gateway{};
  net::SocketAddress address{};
  friend auto operator<=>(const LinkTarget&, const LinkTarget&) = default;
};

// Why a link that somebody has dialled is not accepted, or ends. Names are label values.
enum class LinkRefusal {
  kNoIdentity,  // this gateway has none
  kHandshake,   // TLS
  kIdentity,    // of no gateway of this trust domain, or revoked; or this gateway's own is, or gone
  kDirectory,   // the directory has no such gateway that is reached via this cluster
  kProtocol,
  kDraining,
  kCount,
};
absl::string_view Name(LinkRefusal refusal);

// What decides about a gateway's links at one moment. A plain value.
struct LinkRules {
  LinkRules() = default;
  LinkRules(const mesh::Snapshot& snapshot, const source::AgentConfig& config,
            identity::StorePtr identities);

  // Null: there is none (yet), or it has expired.
  tls::CredentialsPtr Credentials() const;
  // Whether both ends of a link may still be who they are: it is known who is revoked, and neither
  // is. An SVID takes a handshake, and what was made by one may last as long as that.
  absl::Status CheckIdentities(const SpiffeId& peer, absl::string_view serial) const;
  // Whether a gateway that has shown this certificate may speak for its own cluster. Otherwise
  // `refusal` is set, too.
  absl::Status Check(const SpiffeId& peer, absl::string_view serial, LinkRefusal& refusal) const;

  std::string cluster;                                 // the own one
  SpiffeId id;                                         // this gateway
  identity::StorePtr identities;                       // has that one's SVID; null: not configured
  std::vector<LinkTarget> targets;                     // to be dialled
  std::set<std::pair<std::string, std::string>> from;  // (cluster, gateway) that may dial
};

// What is asked for in the SNI of a link to `cluster`.
std::string LinkServerName(absl::string_view cluster);

}  // namespace tombolo::agent
