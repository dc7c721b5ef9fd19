// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/new_authorities.h"
#include "command/output.h"
#include "core/cluster_registration.h"
#include "core/discovery.h"
#include "core/rotation.h"
#include "core/setup.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

struct ClusterOptions : CommonOptions {
  std::string name, issuer, jwks, audience = kDefaultAudience, agent_account;
  std::string discovery, discovery_ca, discovery_token_file;
};

constexpr Duration kPatience = std::chrono::seconds(5);

absl::StatusOr<Discovery> DiscoveryOf(const ClusterOptions& options) {
  Discovery discovery{
      .url = options.discovery, .ca = {}, .token_file = options.discovery_token_file};
  if (options.discovery_ca.empty()) return discovery;
  ASSIGN_OR_RETURN(discovery.ca, ReadFile(options.discovery_ca));
  return discovery;
}

absl::StatusOr<ClusterRegistration> RegistrationOf(const ClusterOptions& options) {
  if (options.jwks.empty() && options.discovery.empty()) {
    return absl::InvalidArgumentError("--issuer needs --jwks or --discovery");
  }
  ClusterRegistration registration{
      .issuer = options.issuer, .audience = options.audience, .jwks = {}};
  if (options.discovery.empty()) {
    ASSIGN_OR_RETURN(registration.jwks, ReadFile(options.jwks));
  } else {
    ASSIGN_OR_RETURN(registration.discovery, DiscoveryOf(options));
  }
  if (!options.agent_account.empty()) {
    RETURN_IF_ERROR(SetAgentAccount(options.agent_account, registration));
  }
  RETURN_IF_ERROR(Check(registration));
  return registration;
}

absl::Status PutRegistration(Context& context, const std::string& name,
                             const ClusterRegistration& registration) {
  ASSIGN_OR_RETURN(const std::string text, Encode(registration));
  return Ledger::Await([&](Ledger::Done done) {
           context.ledger->PutDocument(absl::StrCat(kClusterDocuments, name), text, std::nullopt,
                                       std::nullopt, Actor(), std::move(done));
         })
      .status();
}

absl::Status KeyIsElsewhere(const TrustRoot& root, const std::string& name) {
  return absl::FailedPreconditionError(
      absl::StrCat("root ", root.id.substr(0, 8), ": its key is elsewhere; 'tombolo-ca csr ", name,
                   "' makes a request for whoever has it, 'tombolo-ca install' takes the answer"));
}

// A key that is elsewhere, or cannot be opened here.
absl::Status CheckKeyIsHere(const Context& context, const TrustRoot& root,
                            const std::string& name) {
  if (root.key.empty()) return KeyIsElsewhere(root, name);
  return OpenRoot(root, context.keys, context.config.trust_domain).status();
}

// The active one first: when its authority cannot be made, nothing is.
std::vector<TrustRoot> ActiveFirst(std::vector<TrustRoot> roots) {
  std::stable_partition(roots.begin(), roots.end(),
                        [](const TrustRoot& root) { return root.state == RootState::kActive; });
  return roots;
}

// Below every root that may sign yet or again, so that a rotation may go on or back. True when one
// was made.
absl::StatusOr<bool> EnsureAuthorities(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const StoredTrust stored, ReadTrust(context.reader()));
  TrustState next = stored.trust;
  NewKeys made(context.keys);
  for (const TrustRoot& root : ActiveFirst(stored.trust.roots)) {
    if (stored.trust.FindAuthority(name, root.id) != nullptr) continue;
    if (root.state == RootState::kTainted) continue;
    const absl::Status here = CheckKeyIsHere(context, root, name);
    if (!here.ok()) {
      if (root.state == RootState::kActive) return here;
      Print(absl::StrCat("the rotation waits: ", here.message()));
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<TrustAuthority> below,
                     MakeAuthorities(context, root, {name}, made));
    ASSIGN_OR_RETURN(next, InstallAuthority(std::move(next), std::move(below[0])));
  }
  if (next == stored.trust) return false;
  RETURN_IF_ERROR(made.Settle(WriterOf(context).Put(next, stored.revision)));
  return true;
}

absl::Status AddCluster(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  RETURN_IF_ERROR(SpiffeId::ForNode(context.config.trust_domain, options.name, "any").status());
  std::optional<ClusterRegistration> registration;
  if (!options.issuer.empty()) {
    ASSIGN_OR_RETURN(registration, RegistrationOf(options));
  }
  ASSIGN_OR_RETURN(const bool made, EnsureAuthorities(context, options.name));
  if (registration) RETURN_IF_ERROR(PutRegistration(context, options.name, *registration));
  if (registration && registration->discovery) {
    // Replicas will ask again and again; here it is for whoever has mistyped it.
    const absl::Status found = DiscoverKeys(*registration, After(kPatience)).status();
    if (!found.ok()) Print(absl::StrCat("its keys cannot be read from here: ", found.message()));
  }
  Print(absl::StrCat("cluster ", options.name, made ? ": made its authority" : " is there",
                     registration ? ", registered who signs its service account tokens" : ""));
  return absl::OkStatus();
}

json::object Describe(const StoredState& state, const std::string& name) {
  const TrustAuthority* authority = state.trust.SignerFor(name);
  const auto registered = state.clusters.find(name);
  json::object object{{"name", name}, {"authority", nullptr}, {"issuer", nullptr}};
  if (authority != nullptr) object["authority"] = authority->id;
  if (registered == state.clusters.end()) return object;
  const ClusterRegistration& registration = registered->second.registration;
  object["issuer"] = registration.issuer;
  object["audience"] = registration.audience;
  if (registration.discovery) object["discovery"] = registration.discovery->url;
  if (!registration.agent_account.empty()) {
    object["agent_account"] =
        absl::StrCat(registration.agent_namespace, "/", registration.agent_account);
  }
  return object;
}

std::string TextOf(const json::object& object, const char* name) {
  const json::value* found = object.if_contains(name);
  return found == nullptr || !found->is_string() ? "-" : std::string(found->get_string());
}

absl::Status ListClusters(const CommonOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  std::set<std::string> names;
  for (const TrustAuthority& authority : state.trust.authorities) names.insert(authority.cluster);
  for (const auto& [name, cluster] : state.clusters) names.insert(name);
  names.erase("");
  json::array clusters;
  Table table({"NAME", "AUTHORITY", "TOKENS OF", "AGENTS' ACCOUNT"});
  for (const std::string& name : names) {
    const json::object object = Describe(state, name);
    table.Add({name, TextOf(object, "authority").substr(0, 8), TextOf(object, "issuer"),
               TextOf(object, "agent_account")});
    clusters.push_back(object);
  }
  if (options.json) {
    PrintJson(clusters);
  } else {
    table.Print();
  }
  return absl::OkStatus();
}

}  // namespace

void AddClusters(CLI::App& app, Action& action) {
  CLI::App* cluster = app.add_subcommand("cluster", "clusters: who signs for them, and for whom");
  cluster->require_subcommand(1);
  auto options = std::make_shared<ClusterOptions>();
  CLI::App* add = AddCommand(
      *cluster, "add", "make a cluster's authority; register its tokens, or register them anew",
      *options);
  add->add_option("NAME", options->name)->required();
  CLI::Option* issuer =
      add->add_option("--issuer", options->issuer, "iss of its service account tokens");
  CLI::Option* jwks =
      add->add_option("--jwks", options->jwks, "file: kubectl get --raw /openid/v1/jwks");
  CLI::Option* discovery = add->add_option(
      "--discovery", options->discovery,
      "URL to ask for the keys instead, again and again: the issuer's, or the API server's");
  jwks->needs(issuer)->excludes(discovery);
  discovery->needs(issuer);
  add->add_option("--discovery-ca", options->discovery_ca,
                  "file: who vouches for that server (default: the system's roots)")
      ->needs(discovery);
  add->add_option("--discovery-token-file", options->discovery_token_file,
                  "file of each replica with a bearer token for that server")
      ->needs(discovery);
  add->add_option("--audience", options->audience, "aud of the tokens")
      ->capture_default_str()
      ->needs(issuer);
  add->add_option("--agent-account", options->agent_account, "namespace/name of the agents")
      ->needs(issuer);
  add->callback([options, &action] { action = [options] { return AddCluster(*options); }; });

  auto list_options = std::make_shared<CommonOptions>();
  CLI::App* list = AddCommand(*cluster, "list", "show the clusters", *list_options);
  AddJson(*list, *list_options);
  list->callback(
      [list_options, &action] { action = [list_options] { return ListClusters(*list_options); }; });
}

}  // namespace tombolo::ca
