// SPDX-License-Identifier: Apache-2.0
#include "core/trust_state.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/json_fields.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "ledger/records.h"
#include "tls/digest.h"
#include "tls/public_key.h"
#include "tls/trust_bundle.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----";
constexpr std::size_t kMaxRoots = 2;
constexpr std::size_t kMaxFederated = 64;  // what a trust bundle takes

constexpr std::array<std::pair<RootState, absl::string_view>, 4> kStates{{
    {RootState::kPrepared, "prepared"},
    {RootState::kActive, "active"},
    {RootState::kOld, "old"},
    {RootState::kTainted, "tainted"},
}};

absl::StatusOr<RootState> ParseState(absl::string_view text) {
  for (const auto& [state, name] : kStates) {
    if (name == text) return state;
  }
  return absl::DataLossError(absl::StrCat("trust: unknown 'state': '", text, "'"));
}

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("trust: ", why));
}

absl::Status CheckId(const std::string& certificate, const std::string& id,
                     const std::string& what) {
  ASSIGN_OR_RETURN(const std::string own, KeyIdOf(certificate, absl::StrCat("trust: ", what)));
  if (own == id) return absl::OkStatus();
  return Bad(absl::StrCat(what, " has the key ", own, ", not '", id, "'"));
}

// Whatever is wrong with a certificate, here it is what somebody wants to write.
absl::Status CheckBundle(const std::string& text, const std::string& trust_domain,
                         const std::string& what) {
  const absl::Status status = tls::ParseTrustBundle(text, trust_domain, what).status();
  return status.ok() ? status : Bad(status.message());
}

absl::Status CheckRoot(const TrustRoot& root, const std::string& trust_domain) {
  const std::string what = absl::StrCat("root ", root.id.substr(0, 8));
  if (absl::string_view(root.certificate).find(kBegin) !=
      absl::string_view(root.certificate).rfind(kBegin)) {
    return Bad(absl::StrCat(what, " has more than one certificate"));
  }
  RETURN_IF_ERROR(CheckId(root.certificate, root.id, what));
  return CheckBundle(root.certificate, trust_domain, what);
}

absl::Status CheckRoots(const TrustState& state) {
  if (state.roots.empty() || state.roots.size() > kMaxRoots) {
    return Bad(absl::StrCat("has ", state.roots.size(), " roots, must have 1 or 2"));
  }
  const auto active = std::count_if(state.roots.begin(), state.roots.end(), [](const auto& root) {
    return root.state == RootState::kActive;
  });
  if (active != 1) return Bad(absl::StrCat("has ", active, " active roots, must have one"));
  for (const TrustRoot& root : state.roots) {
    RETURN_IF_ERROR(CheckRoot(root, state.trust_domain));
  }
  return absl::OkStatus();
}

absl::Status CheckAuthority(const TrustAuthority& authority, const TrustState& state) {
  const std::string what = absl::StrCat("the authority of '", authority.cluster, "'");
  if (state.FindRoot(authority.root) == nullptr) {
    return Bad(absl::StrCat(what, " is below the root '", authority.root, "', which is not there"));
  }
  if (!authority.cluster.empty()) {
    RETURN_IF_ERROR(SpiffeId::ForNode(state.trust_domain, authority.cluster, "any").status());
  }
  return CheckId(authority.chain, authority.id, what);
}

absl::Status CheckAuthorities(const TrustState& state) {
  if (state.authorities.size() > kMaxAuthorities) {
    return Bad(absl::StrCat("has more than ", kMaxAuthorities, " authorities"));
  }
  std::set<std::pair<std::string, std::string>> places;
  std::set<std::string> keys;
  for (const TrustRoot& root : state.roots) {
    if (!keys.insert(root.id).second) return Bad("has one root twice");
  }
  for (const TrustAuthority& authority : state.authorities) {
    RETURN_IF_ERROR(CheckAuthority(authority, state));
    if (!places.emplace(authority.cluster, authority.root).second) {
      return Bad(absl::StrCat("has two authorities of '", authority.cluster, "' below one root"));
    }
    if (!keys.insert(authority.id).second) {
      return Bad(absl::StrCat("has the key ", authority.id, " twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFederated(const TrustState& state) {
  if (state.federated.size() > kMaxFederated) {
    return Bad(absl::StrCat("has more than ", kMaxFederated, " federated trust domains"));
  }
  for (const auto& [name, text] : state.federated) {
    RETURN_IF_ERROR(SpiffeId::ForTrustDomain(name).status());
    if (name == state.trust_domain) return Bad("is federated with itself");
    RETURN_IF_ERROR(CheckBundle(text, name, absl::StrCat("federated '", name, "'")));
  }
  return absl::OkStatus();
}

json::object ToJson(const TrustRoot& root) {
  const absl::string_view state = Name(root.state);
  return {{"id", root.id},
          {"state", json::string_view(state.data(), state.size())},
          {"key", root.key},
          {"certificate", root.certificate}};
}

json::object ToJson(const TrustAuthority& authority) {
  return {{"id", authority.id},
          {"cluster", authority.cluster},
          {"root", authority.root},
          {"key", authority.key},
          {"chain", authority.chain}};
}

std::string Text(const TrustState& state) {
  json::array roots, authorities;
  for (const TrustRoot& root : state.roots) roots.push_back(ToJson(root));
  for (const TrustAuthority& authority : state.authorities) {
    authorities.push_back(ToJson(authority));
  }
  return json::serialize(json::object{{"trust_domain", state.trust_domain},
                                      {"roots", std::move(roots)},
                                      {"authorities", std::move(authorities)},
                                      {"federated", tombolo::ToJson(state.federated)}});
}

absl::StatusOr<TrustRoot> ReadRoot(JsonFields& fields) {
  TrustRoot root;
  root.id = fields.Text("id");
  const std::string state = fields.Text("state");
  root.key = fields.Text("key");
  root.certificate = fields.Text("certificate");
  RETURN_IF_ERROR(fields.Finish());
  ASSIGN_OR_RETURN(root.state, ParseState(state));
  return root;
}

absl::StatusOr<TrustAuthority> ReadAuthority(JsonFields& fields) {
  TrustAuthority authority;
  authority.id = fields.Text("id");
  authority.cluster = fields.Text("cluster");
  authority.root = fields.Text("root");
  authority.key = fields.Text("key");
  authority.chain = fields.Text("chain");
  RETURN_IF_ERROR(fields.Finish());
  return authority;
}

}  // namespace

absl::string_view Name(RootState state) {
  for (const auto& [known, name] : kStates) {
    if (known == state) return name;
  }
  return "";
}

const TrustRoot& TrustState::active() const {
  return *std::find_if(roots.begin(), roots.end(),
                       [](const TrustRoot& root) { return root.state == RootState::kActive; });
}

const TrustRoot* TrustState::other() const {
  for (const TrustRoot& root : roots) {
    if (root.state != RootState::kActive) return &root;
  }
  return nullptr;
}

const TrustRoot* TrustState::FindRoot(absl::string_view id) const {
  for (const TrustRoot& root : roots) {
    if (root.id == id) return &root;
  }
  return nullptr;
}

const TrustAuthority* TrustState::FindAuthority(absl::string_view cluster,
                                                absl::string_view root) const {
  for (const TrustAuthority& authority : authorities) {
    if (authority.cluster == cluster && authority.root == root) return &authority;
  }
  return nullptr;
}

const TrustAuthority* TrustState::SignerFor(absl::string_view cluster) const {
  return FindAuthority(cluster, active().id);
}

absl::StatusOr<std::string> KeyIdOf(const std::string& certificate, const std::string& name) {
  ASSIGN_OR_RETURN(const tls::PublicKey key, tls::PublicKeyOf(certificate, name));
  return tls::Hex(key.id());
}

absl::Status Check(const TrustState& state) {
  RETURN_IF_ERROR(SpiffeId::ForTrustDomain(state.trust_domain).status());
  RETURN_IF_ERROR(CheckRoots(state));
  RETURN_IF_ERROR(CheckAuthorities(state));
  return CheckFederated(state);
}

absl::StatusOr<std::string> Encode(const TrustState& state) {
  RETURN_IF_ERROR(Check(state));
  std::string text = Text(state);
  const absl::Status read = DecodeTrustState(text).status();
  if (!read.ok()) return absl::InvalidArgumentError(read.message());
  return text;
}

absl::StatusOr<TrustState> DecodeTrustState(absl::string_view text) {
  JsonFields fields(text, kTrustDocument);
  TrustState state;
  state.trust_domain = fields.Text("trust_domain");
  std::vector<JsonFields> roots = fields.Objects("roots");
  std::vector<JsonFields> authorities = fields.Objects("authorities");
  state.federated = fields.Map("federated");
  RETURN_IF_ERROR(fields.Finish());
  for (JsonFields& root : roots) {
    ASSIGN_OR_RETURN(TrustRoot read, ReadRoot(root));
    state.roots.push_back(std::move(read));
  }
  for (JsonFields& authority : authorities) {
    ASSIGN_OR_RETURN(TrustAuthority read, ReadAuthority(authority));
    state.authorities.push_back(std::move(read));
  }
  const absl::Status checked = Check(state);
  if (!checked.ok()) return absl::DataLossError(checked.message());
  if (Text(state) != text) return NotCanonical(kTrustDocument);
  return state;
}

}  // namespace tombolo::ca
