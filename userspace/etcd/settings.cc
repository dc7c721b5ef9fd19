// SPDX-License-Identifier: Apache-2.0
#include "etcd/settings.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "tls/client_context.h"

namespace tombolo::etcd {
namespace {

using ClientContextPtr = std::shared_ptr<const tls::ClientContext>;

absl::StatusOr<ClientContextPtr> LoadTls(const Settings& settings) {
  if (settings.certificate.empty() != settings.key.empty()) {
    return absl::InvalidArgumentError("etcd: a client certificate and its key go together");
  }
  if (settings.ca.empty() && settings.certificate.empty()) return ClientContextPtr();
  if (settings.ca.empty()) {
    return absl::InvalidArgumentError("etcd: a client certificate, but no ca for the servers'");
  }
  tls::ClientContext::Pem pem{
      .roots_name = settings.ca, .chain_name = settings.certificate, .key_name = settings.key};
  ASSIGN_OR_RETURN(pem.roots, ReadFile(settings.ca));
  if (!settings.key.empty()) {
    RETURN_IF_ERROR(CheckPrivate(settings.key));
    ASSIGN_OR_RETURN(pem.chain, ReadFile(settings.certificate));
    ASSIGN_OR_RETURN(pem.key, ReadFile(settings.key));
  }
  return tls::ClientContext::FromPem(pem);
}

}  // namespace

absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(const std::vector<std::string>& urls,
                                                     bool has_ca) {
  std::vector<Endpoint> endpoints;
  for (const std::string& url : urls) {
    ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(url));
    if (endpoint.tls && !has_ca) {
      return absl::InvalidArgumentError(
          absl::StrCat("etcd endpoint '", url, "': needs the CA that vouches for its certificate"));
    }
    endpoints.push_back(std::move(endpoint));
  }
  if (!endpoints.empty() && endpoints.size() <= kMaxEndpoints) return endpoints;
  return absl::InvalidArgumentError(
      absl::StrCat("etcd: 1 to ", kMaxEndpoints, " endpoints, not ", endpoints.size()));
}

absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  RETURN_IF_ERROR(CheckPrivate(path));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::string password(absl::StripAsciiWhitespace(text));
  if (!password.empty()) return password;
  return absl::InvalidArgumentError(absl::StrCat(path, ": holds no password"));
}

absl::StatusOr<Client::Options> Load(const Settings& settings) {
  Client::Options options;
  ASSIGN_OR_RETURN(options.tls, LoadTls(settings));
  ASSIGN_OR_RETURN(options.endpoints, ParseEndpoints(settings.endpoints, options.tls != nullptr));
  if (settings.user.empty() != settings.password_file.empty()) {
    return absl::InvalidArgumentError("etcd: a user and his password_file go together");
  }
  if (settings.user.empty()) return options;
  RETURN_IF_ERROR(ReadPassword(settings.password_file).status());
  options.user = Client::User{.name = settings.user, .password = [path = settings.password_file] {
                                return ReadPassword(path);
                              }};
  return options;
}

}  // namespace tombolo::etcd
