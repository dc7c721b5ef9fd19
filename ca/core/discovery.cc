// SPDX-License-Identifier: Apache-2.0
#include "core/discovery.h"

#include <memory>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/blocking_stream.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "core/https_target.h"
#include "net/http_connection.h"
#include "tls/client_context.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr char kConfiguration[] = "/.well-known/openid-configuration";
constexpr std::size_t kQuoted = 256;

// What is read and by whom.
class DocumentReader {
 public:
  DocumentReader(std::shared_ptr<const tls::ClientContext> context, MonotonicTime deadline)
      : context_(std::move(context)), deadline_(deadline) {}

  // At most tls::kMaxJwksSize.
  absl::StatusOr<std::string> Read(const HttpsTarget& target, const std::string& token) const {
    absl::StatusOr<std::string> body = Get(target, token);
    if (body.ok()) return body;
    return Annotate(body.status(), absl::StrCat(target.server.ToString(), target.path));
  }

 private:
  absl::StatusOr<std::string> Get(const HttpsTarget& target, const std::string& token) const {
    const net::HttpsUrl& server = target.server;
    ASSIGN_OR_RETURN(std::unique_ptr<BlockingStream> tcp,
                     ConnectTcp(server.host, server.port, deadline_));
    ASSIGN_OR_RETURN(std::unique_ptr<BlockingStream> stream,
                     context_->Connect(std::move(tcp), server.host, deadline_));
    net::HttpConnection connection(std::move(stream), server.authority());
    ASSIGN_OR_RETURN(net::HttpAnswer answer,
                     connection.Ask({.path = target.path.empty() ? "/" : target.path,
                                     .authorization = token.empty() ? "" : "Bearer " + token},
                                    deadline_));
    if (answer.status != 200) {
      return absl::UnavailableError(absl::StrCat("answers ", answer.status));
    }
    if (answer.body.size() > tls::kMaxJwksSize) {
      return absl::InvalidArgumentError(
          absl::StrCat("has ", answer.body.size(), " bytes, may have ", tls::kMaxJwksSize));
    }
    return std::move(answer.body);
  }

  const std::shared_ptr<const tls::ClientContext> context_;
  const MonotonicTime deadline_;
};

// Each time: whoever writes the file replaces it before the token in it expires.
absl::StatusOr<std::string> TokenOf(const Discovery& discovery) {
  if (discovery.token_file.empty()) return std::string();
  return ReadToken(discovery.token_file);
}

absl::StatusOr<std::string> Member(const json::value& document, const char* name) {
  const json::object* object = document.if_object();
  const json::value* value = object == nullptr ? nullptr : object->if_contains(name);
  if (value != nullptr && value->is_string()) return std::string(value->get_string());
  return absl::InvalidArgumentError(absl::StrCat("the configuration has no text '", name, "'"));
}

// Where the keys are, by the configuration of the issuer that is registered, and no other's.
absl::StatusOr<HttpsTarget> KeysTarget(const std::string& configuration,
                                       const std::string& issuer) {
  boost::system::error_code error;
  const json::value document = json::parse(configuration, error);
  if (error) return absl::InvalidArgumentError("the configuration is not JSON");
  ASSIGN_OR_RETURN(const std::string named, Member(document, "issuer"));
  if (named != issuer) {
    return absl::InvalidArgumentError(absl::StrCat("the configuration is of the issuer '",
                                                   absl::CHexEscape(named.substr(0, kQuoted)),
                                                   "', not of '", issuer, "'"));
  }
  ASSIGN_OR_RETURN(const std::string url, Member(document, "jwks_uri"));
  return HttpsTarget::Parse(url);
}

}  // namespace

absl::StatusOr<FoundKeys> DiscoverKeys(const ClusterRegistration& registration,
                                       MonotonicTime deadline) {
  const Discovery& discovery = *registration.discovery;
  ASSIGN_OR_RETURN(HttpsTarget target, HttpsTarget::Parse(absl::StripSuffix(discovery.url, "/")));
  target.path += kConfiguration;
  ASSIGN_OR_RETURN(const std::shared_ptr<const tls::ClientContext> context,
                   tls::ClientContext::FromPem({.roots = discovery.ca,
                                                .roots_name = "registered CA",
                                                .system_roots = discovery.ca.empty()}));
  ASSIGN_OR_RETURN(const std::string token, TokenOf(discovery));
  const DocumentReader reader(context, deadline);
  ASSIGN_OR_RETURN(const std::string configuration, reader.Read(target, token));
  absl::StatusOr<HttpsTarget> keys = KeysTarget(configuration, registration.issuer);
  if (!keys.ok()) return Annotate(keys.status(), target.server.ToString());
  FoundKeys found;
  const bool same_server = keys->server == target.server;
  ASSIGN_OR_RETURN(found.jwks, reader.Read(*keys, same_server ? token : ""));
  ASSIGN_OR_RETURN(found.keys, tls::JwtKeys::Parse(found.jwks));
  return found;
}

}  // namespace tombolo::ca
