// SPDX-License-Identifier: Apache-2.0
#include "core/server_identity.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "tls/certificate_builder.h"
#include "tls/signing_key.h"

namespace tombolo::ca {
namespace {

constexpr std::chrono::seconds kTryAgain{30};

// Which of the replicas, for the records.
std::string ThisReplica() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "replica";
  return absl::StrCat("replica ", absl::CHexEscape(name));
}

}  // namespace

absl::Status ServerIdentity::Update(const IssuerPtr& issuer, WallTime now) {
  absl::Status made = Make(issuer, now);
  next_ = made.ok() ? renew_ : now + kTryAgain;
  return made;
}

absl::Status ServerIdentity::Make(const IssuerPtr& issuer, WallTime now) {
  if (issuer == nullptr) {
    return absl::FailedPreconditionError(
        "there is no authority of no cluster, which signs for this server, or no key of it");
  }
  if (issuer->certificate() == issuer_ && now < renew_) return absl::OkStatus();
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::ForAuthority(issuer->trust_domain()));
  ASSIGN_OR_RETURN(std::string key, tls::GenerateKey());
  ASSIGN_OR_RETURN(const tls::SigningKey own, tls::SigningKey::FromPem(key, "server key"));
  ASSIGN_OR_RETURN(const Issuance made, IssueLeaf(*issuer,
                                                  {.id = std::move(id),
                                                   .key = own.public_key(),
                                                   .hosts = hosts_,
                                                   .requester = ThisReplica()},
                                                  ttl_, now));
  RETURN_IF_ERROR(record_(made.record));
  chain_ = absl::StrCat(made.leaf, made.chain);
  key_ = std::move(key);
  issuer_ = issuer->certificate();
  renew_ = now + (made.record.not_after - now) / 2;
  return absl::OkStatus();
}

absl::StatusOr<ServerCredentials> ServerIdentity::Credentials(const std::string& bundle,
                                                              WallTime now) {
  if (chain_.empty()) return absl::FailedPreconditionError("this server has no certificate yet");
  auto pem = std::make_shared<tls::Credentials::Pem>();
  pem->chain = chain_;
  pem->key = key_;
  pem->bundle = bundle;
  pem->chain_name = "the server's certificate";
  pem->key_name = "the server's key";
  pem->bundle_name = "the trust bundle";
  if (const absl::Status usable = tls::Credentials::FromPem(*pem).status(); !usable.ok()) {
    // Revoked, perhaps: the next one need not be.
    renew_ = WallTime::min();
    next_ = now + kTryAgain;
    return usable;
  }
  return ServerCredentials(std::move(pem));
}

}  // namespace tombolo::ca
