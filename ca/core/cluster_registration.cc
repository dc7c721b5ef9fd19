// SPDX-License-Identifier: Apache-2.0
#include "core/cluster_registration.h"

#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/json_fields.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "core/https_target.h"
#include "ledger/records.h"
#include "tls/client_context.h"
#include "tls/jwks.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxText = 1024;

std::string Text(const ClusterRegistration& registration) {
  boost::json::object object{{"issuer", registration.issuer},
                             {"audience", registration.audience},
                             {"jwks", registration.jwks},
                             {"agent_namespace", registration.agent_namespace},
                             {"agent_account", registration.agent_account}};
  if (registration.discovery) {
    object["discovery"] = ToJson(TextMap{{"url", registration.discovery->url},
                                         {"ca", registration.discovery->ca},
                                         {"token_file", registration.discovery->token_file}});
  }
  return boost::json::serialize(object);
}

// What is not one of its fields makes the document another one than what is written.
Discovery ReadDiscovery(TextMap map) {
  return {.url = map["url"], .ca = map["ca"], .token_file = map["token_file"]};
}

absl::Status CheckDiscovery(const Discovery& discovery) {
  ASSIGN_OR_RETURN(const HttpsTarget target, HttpsTarget::Parse(discovery.url));
  if (target.path.find('?') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", discovery.url, "' has a query"));
  }
  if (!discovery.token_file.empty() && discovery.token_file[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("token file '", discovery.token_file, "' is not a complete path"));
  }
  if (discovery.ca.empty()) return absl::OkStatus();
  return tls::ClientContext::FromPem({.roots = discovery.ca, .roots_name = "CA of the discovery"})
      .status();
}

absl::Status CheckText(absl::string_view what, const std::string& text) {
  if (!text.empty() && text.size() <= kMaxText) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, " is empty or longer than ", kMaxText, " bytes"));
}

}  // namespace

absl::Status SetAgentAccount(absl::string_view text, ClusterRegistration& registration) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() != 2 || !SpiffeId::ForWorkload("any", "any", parts[0], parts[1]).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("agent account '", text, "' is not of the form namespace/name"));
  }
  registration.agent_namespace = parts[0];
  registration.agent_account = parts[1];
  return absl::OkStatus();
}

absl::Status Check(const ClusterRegistration& registration) {
  RETURN_IF_ERROR(CheckText("issuer", registration.issuer));
  RETURN_IF_ERROR(CheckText("audience", registration.audience));
  if (registration.agent_namespace.empty() != registration.agent_account.empty()) {
    return absl::InvalidArgumentError("half of an agent account");
  }
  if (registration.discovery.has_value() != registration.jwks.empty()) {
    return absl::InvalidArgumentError("needs either keys or where to ask for them");
  }
  if (registration.discovery) return CheckDiscovery(*registration.discovery);
  const absl::StatusOr<tls::JwtKeys> keys = tls::JwtKeys::Parse(registration.jwks);
  if (!keys.ok()) return Annotate(keys.status(), "JWKS");
  return keys->empty() ? absl::InvalidArgumentError("JWKS: no key") : absl::OkStatus();
}

absl::StatusOr<std::string> Encode(const ClusterRegistration& registration) {
  RETURN_IF_ERROR(Check(registration));
  std::string text = Text(registration);
  const absl::Status read = DecodeClusterRegistration("any", text).status();
  if (!read.ok()) return absl::InvalidArgumentError(read.message());
  return text;
}

absl::StatusOr<ClusterRegistration> DecodeClusterRegistration(const std::string& name,
                                                              absl::string_view text) {
  const std::string document = absl::StrCat(kClusterDocuments, name);
  JsonFields fields(text, document);
  ClusterRegistration registration;
  registration.issuer = fields.Text("issuer");
  registration.audience = fields.Text("audience");
  registration.jwks = fields.Text("jwks");
  registration.agent_namespace = fields.Text("agent_namespace");
  registration.agent_account = fields.Text("agent_account");
  if (fields.Has("discovery")) registration.discovery = ReadDiscovery(fields.Map("discovery"));
  RETURN_IF_ERROR(fields.Finish());
  const absl::Status checked = Check(registration);
  if (!checked.ok()) {
    return absl::DataLossError(absl::StrCat(document, ": ", checked.message()));
  }
  if (Text(registration) != text) return NotCanonical(document);
  return registration;
}

}  // namespace tombolo::ca
