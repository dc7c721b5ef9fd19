// SPDX-License-Identifier: Apache-2.0
#include "policy/authorize.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tombolo::policy {
namespace {

Decision Denied(std::string reason) {
  return {.allowed = false, .reason = std::move(reason), .rule = {}};
}

// The first rule for exactly this `from` that covers the port.
std::optional<std::size_t> FirstRule(const mesh::Snapshot& snapshot, absl::string_view service,
                                     absl::string_view from, std::uint16_t port) {
  for (const std::uint32_t index : snapshot.FindRules(service, from)) {
    const std::vector<std::uint16_t>& ports = snapshot.allow[index].ports;
    if (ports.empty() || std::find(ports.begin(), ports.end(), port) != ports.end()) return index;
  }
  return std::nullopt;
}

// The first line of the allow list that matches, so that the answer names the
// line that a reader of the file would find first.
std::optional<std::size_t> FindRule(const mesh::Snapshot& snapshot, const SpiffeId& client,
                                    absl::string_view service, std::uint16_t port) {
  const std::string& id = client.text();
  std::optional<std::size_t> first = FirstRule(snapshot, service, id, port);
  const std::size_t path_begin = id.size() - client.path().size();
  std::string pattern;
  for (std::size_t slash = path_begin; slash < id.size(); slash = id.find('/', slash + 1)) {
    pattern.assign(id, 0, slash + 1).push_back('*');
    const std::optional<std::size_t> rule = FirstRule(snapshot, service, pattern, port);
    if (rule && (!first || *rule < *first)) first = rule;
  }
  return first;
}

// Agents' own identities are for talking to the authority and to each other. A rule for a whole
// cluster means its workloads: a gateway's key, which is where strangers come, opens none of them.
bool IsAgent(const SpiffeId& client, absl::string_view trust_domain) {
  const SpiffeId::Kind kind = client.name().kind;
  return kind == SpiffeId::Kind::kNode || kind == SpiffeId::Kind::kGateway ||
         (kind == SpiffeId::Kind::kAuthority && client.trust_domain() == trust_domain);
}

}  // namespace

Decision AuthorizeRunning(const mesh::Snapshot& snapshot, const SpiffeId& client,
                          absl::string_view service, std::uint16_t port) {
  if (client.empty()) return Denied("the client has no identity");
  if (IsAgent(client, snapshot.trust_domain)) {
    return Denied(absl::StrCat("'", client.text(), "' is an agent's, not a workload's"));
  }
  const std::optional<std::size_t> rule = FindRule(snapshot, client, service, port);
  if (!rule) {
    return Denied(absl::StrCat("no rule allows '", client.text(), "' to connect to '", service,
                               "' port ", port));
  }
  return {.allowed = true,
          .reason = absl::StrCat("allow[", *rule, "] allows '", snapshot.allow[*rule].from,
                                 "' to connect to '", service, "'"),
          .rule = rule};
}

Decision Authorize(const mesh::Snapshot& snapshot, const SpiffeId& client,
                   absl::string_view service, std::uint16_t port) {
  const mesh::Service* known = snapshot.FindService(service);
  if (known == nullptr) return Denied(absl::StrCat("service '", service, "' is unknown"));
  if (known->FindPort(port) == nullptr) {
    return Denied(absl::StrCat("service '", service, "' has no port ", port));
  }
  return AuthorizeRunning(snapshot, client, service, port);
}

}  // namespace tombolo::policy
