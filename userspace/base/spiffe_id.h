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

  const std::string& text() const { return text_; }
  absl::string_view trust_domain() const;
  absl::string_view path() const;  // begins with '/', or empty
  bool empty() const { return text_.empty(); }

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
