// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo {

// A SPIFFE ID (SPIFFE-ID.md, sections 2.1 to 2.4): spiffe://<trust
// domain>/<path>. A plain value; ordered and hashable by its text.
class SpiffeId {
 public:
  SpiffeId() = default;  // the empty ID, equal to no parsed one

  // Accepts exactly what the standard allows: scheme "spiffe", a lower-case
  // trust domain of [a-z0-9._-] up to 255 bytes, no port, user info, query or
  // fragment, path segments of [a-zA-Z0-9._-] that are not empty, "." or "..",
  // 2048 bytes in all. The path may be empty (the ID of a trust domain).
  static absl::StatusOr<SpiffeId> Parse(absl::string_view text);

  // spiffe://<trust-domain>/cluster/<cluster>/ns/<namespace>/sa/<service-account>
  static absl::StatusOr<SpiffeId> ForWorkload(absl::string_view trust_domain,
                                              absl::string_view cluster, absl::string_view ns,
                                              absl::string_view service_account);

  // spiffe://<trust-domain>/cluster/<cluster>/node/<node>: a node's agent.
  static absl::StatusOr<SpiffeId> ForNode(absl::string_view trust_domain, absl::string_view cluster,
                                          absl::string_view node);

  // spiffe://<trust-domain>/cluster/<cluster>/gateway/<gateway>: one that has links to others.
  static absl::StatusOr<SpiffeId> ForGateway(absl::string_view trust_domain,
                                             absl::string_view cluster, absl::string_view gateway);

  // spiffe://<trust-domain>/ca: the certificate authority's own server.
  static absl::StatusOr<SpiffeId> ForAuthority(absl::string_view trust_domain);

  // spiffe://<trust-domain>, without a path: what signing certificates may bear.
  static absl::StatusOr<SpiffeId> ForTrustDomain(absl::string_view trust_domain);

  const std::string& text() const { return text_; }
  absl::string_view trust_domain() const;
  absl::string_view path() const;  // begins with '/', or empty
  bool empty() const { return text_.empty(); }

  // What the path says by the forms above. The views are of this ID.
  enum class Kind { kOther, kTrustDomain, kAuthority, kNode, kGateway, kWorkload };
  struct Name {
    Kind kind = Kind::kOther;
    absl::string_view cluster{};                // of kNode, kGateway and kWorkload
    absl::string_view node{};                   // of kNode
    absl::string_view gateway{};                // of kGateway
    absl::string_view ns{}, service_account{};  // of kWorkload
  };
  Name name() const;

  friend bool operator==(const SpiffeId&, const SpiffeId&) = default;
  friend auto operator<=>(const SpiffeId&, const SpiffeId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) {
    return H::combine(std::move(h), id.text_);
  }

 private:
  explicit SpiffeId(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

}  // namespace tombolo
