// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The documents "cluster/<name>": who signs a cluster's service account tokens.
namespace tombolo::ca {

inline constexpr char kClusterDocuments[] = "cluster/";
inline constexpr char kDefaultAudience[] = "tombolo-ca";

// Where a cluster says itself which keys it signs with (OpenID Connect Discovery 1.0, section 4):
// the issuer, or the cluster's API server. A plain value.
struct Discovery {
  std::string url;         // of an HTTPS server; /.well-known/openid-configuration is below it
  std::string ca;          // PEM: whom the server's certificate leads to; empty: the system's roots
  std::string token_file;  // a complete path, of each replica: a bearer token; empty: none
  friend bool operator==(const Discovery&, const Discovery&) = default;
};

// A plain value.
struct ClusterRegistration {
  std::string issuer;                       // the tokens' iss
  std::string audience = kDefaultAudience;  // one of the tokens' aud
  std::string jwks;  // the keys, as the cluster serves them; empty: they are asked for
  std::optional<Discovery> discovery{};  // where; one of the two is there
  // The service account of the cluster's agents: its tokens stand for the node that they are
  // bound to. Both empty: there is none.
  std::string agent_namespace{}, agent_account{};
  friend bool operator==(const ClusterRegistration&, const ClusterRegistration&) = default;
};

// "namespace/name"; InvalidArgument.
absl::Status SetAgentAccount(absl::string_view text, ClusterRegistration& registration);

// InvalidArgument says what is wrong, such as a JWKS without a usable key.
absl::Status Check(const ClusterRegistration& registration);

// As JSON. InvalidArgument for what Check() refuses; DataLoss for what was not written by this.
// `name` is the cluster's.
absl::StatusOr<std::string> Encode(const ClusterRegistration& registration);
absl::StatusOr<ClusterRegistration> DecodeClusterRegistration(const std::string& name,
                                                              absl::string_view text);

}  // namespace tombolo::ca
