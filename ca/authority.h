// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/certificate_builder.h"
#include "tls/issuer.h"

namespace tombolo::ca {

inline constexpr std::chrono::hours kRootTtl{24 * 3650};
inline constexpr std::chrono::minutes kMinTtl{5};
inline constexpr std::chrono::hours kMaxTtl{24};

// An SVID with its key and the roots that verify its peers, all PEM.
struct Svid {
  std::string certificate, key, bundle;
  WallTime not_after;
};

// InvalidArgument outside of the two above.
absl::Status CheckTtl(std::chrono::seconds ttl);

// A root and nothing else: the certificate authority of one trust domain. Its state is a directory:
// root.pem (mode 0644) and root.key (0600). Immutable once open; any thread may
// share it.
class Authority {
 public:
  // Makes the directory's root. AlreadyExists when either file is there: a root
  // is never overwritten.
  static absl::Status Init(const std::string& directory, absl::string_view trust_domain);

  // Refuses a root.key that others may read.
  static absl::StatusOr<Authority> Open(const std::string& directory);

  // A new key and its SVID. InvalidArgument when `id` is not a workload of the
  // trust domain or `ttl` is outside kMinTtl..kMaxTtl.
  absl::StatusOr<Svid> Issue(const SpiffeId& id, std::chrono::seconds ttl) const;

  const std::string& trust_domain() const { return issuer_->trust_domain(); }

 private:
  Authority(std::unique_ptr<tls::Issuer> issuer, std::string root)
      : issuer_(std::move(issuer)), root_(std::move(root)) {}

  std::unique_ptr<tls::Issuer> issuer_;
  std::string root_;
};

// Writes bundle.pem, key.pem (mode 0600) and, last, svid.pem. Each is replaced
// whole; a reader that finds a key that is not the certificate's has read in
// between and reads again.
absl::Status WriteSvid(const std::string& directory, const Svid& svid);

}  // namespace tombolo::ca
