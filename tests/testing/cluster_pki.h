// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tls/certificate_builder.h"
#include "tls/credentials.h"
#include "tls/trust_bundle.h"

namespace tombolo::testing {

// A root with an intermediate for each of the clusters east and west, and one for no cluster. Each
// signs whatever a test asks for, as an authority in wrong hands would.
class ClusterPki {
 public:
  ClusterPki()
      : root_key_(NewKey()),
        root_(*tls::CreateRoot(kDomain, root_key_, tls::Validity::FromNow(std::chrono::hours(24)))),
        root_issuer_(
            *tls::Issuer::FromParts({.chain = root_, .chain_name = "root.pem", .key = root_key_})) {
    for (const char* cluster : {"", "east", "west"}) AddIntermediate(cluster);
  }

  static constexpr char kDomain[] = "test.example";
  const std::string& root() const { return root_; }
  const tls::Issuer& root_issuer() const { return *root_issuer_; }
  const tls::Issuer& issuer(const std::string& cluster) const { return *issuers_.at(cluster); }

  tls::TrustBundle Bundle() const {
    tls::TrustBundle bundle{.trust_domain = kDomain, .roots = root_};
    bundle.bindings.emplace();
    for (const auto& [cluster, issuer] : issuers_) {
      bundle.bindings->clusters.emplace(issuer->public_key().id(), cluster);
    }
    return bundle;
  }

  // spiffe://test.example<path>, signed by `issuer`, for peers of `bundle`.
  static tls::Credentials::Pem Issue(const tls::Issuer& issuer, const std::string& path,
                                     const tls::TrustBundle& bundle) {
    const std::string key = *tls::GenerateKey();
    const SpiffeId id = *SpiffeId::Parse(std::string("spiffe://") + kDomain + path);
    const std::string leaf =
        *issuer.IssueSvid(id, key, tls::Validity::FromNow(std::chrono::hours(1)));
    return {.chain = leaf + issuer.chain(),
            .key = key,
            .bundle = *tls::WriteTrustBundle(bundle),
            .chain_name = "svid.pem",
            .key_name = "key.pem",
            .bundle_name = "bundle.json"};
  }

 private:
  static tls::SigningKey NewKey() { return *tls::SigningKey::FromPem(*tls::GenerateKey(), "key"); }
  void AddIntermediate(const std::string& cluster) {
    const tls::SigningKey key = NewKey();
    const std::string pem = *root_issuer_->IssueIntermediate(
        {.key = key.public_key(),
         .cluster = cluster,
         .validity = tls::Validity::FromNow(std::chrono::hours(12))});
    issuers_[cluster] =
        *tls::Issuer::FromParts({.chain = pem, .chain_name = "intermediate.pem", .key = key});
  }

  tls::SigningKey root_key_;
  std::string root_;
  std::unique_ptr<tls::Issuer> root_issuer_;
  std::map<std::string, std::unique_ptr<tls::Issuer>> issuers_;
};

}  // namespace tombolo::testing
