// SPDX-License-Identifier: Apache-2.0
#include "authority.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

constexpr mode_t kPublic = 0644;
constexpr mode_t kPrivate = 0600;

std::string RootPath(const std::string& directory) { return absl::StrCat(directory, "/root.pem"); }
std::string KeyPath(const std::string& directory) { return absl::StrCat(directory, "/root.key"); }

std::string Text(std::chrono::seconds duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

}  // namespace

absl::Status CheckTtl(std::chrono::seconds ttl) {
  if (ttl >= kMinTtl && ttl <= kMaxTtl) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("time to live ", Text(ttl), " is outside ",
                                                 Text(kMinTtl), " to ", Text(kMaxTtl)));
}

absl::Status Authority::Init(const std::string& directory, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(const std::string key, tls::GenerateKey());
  ASSIGN_OR_RETURN(const std::string root,
                   tls::CreateRoot(trust_domain, key, tls::Validity::FromNow(kRootTtl)));
  RETURN_IF_ERROR(MakeDirectory(directory, 0700));
  RETURN_IF_ERROR(CreateFile(KeyPath(directory), key, kPrivate));
  const absl::Status created = CreateFile(RootPath(directory), root, kPublic);
  // Only what this call has made is taken back.
  if (!created.ok()) unlink(KeyPath(directory).c_str());
  return created;
}

absl::StatusOr<Authority> Authority::Open(const std::string& directory) {
  RETURN_IF_ERROR(CheckPrivate(KeyPath(directory)));
  tls::Issuer::Pem pem;
  pem.certificate_name = RootPath(directory);
  pem.key_name = KeyPath(directory);
  ASSIGN_OR_RETURN(pem.certificate, ReadFile(pem.certificate_name));
  ASSIGN_OR_RETURN(pem.key, ReadFile(pem.key_name));
  ASSIGN_OR_RETURN(std::unique_ptr<tls::Issuer> issuer, tls::Issuer::FromPem(pem));
  return Authority(std::move(issuer), std::move(pem.certificate));
}

absl::StatusOr<Svid> Authority::Issue(const SpiffeId& id, std::chrono::seconds ttl) const {
  RETURN_IF_ERROR(CheckTtl(ttl));
  const tls::Validity validity = tls::Validity::FromNow(ttl);
  Svid svid;
  svid.bundle = root_;
  svid.not_after = validity.not_after;
  ASSIGN_OR_RETURN(svid.key, tls::GenerateKey());
  ASSIGN_OR_RETURN(svid.certificate, issuer_->IssueSvid(id, svid.key, validity));
  return svid;
}

absl::Status WriteSvid(const std::string& directory, const Svid& svid) {
  RETURN_IF_ERROR(MakeDirectory(directory, 0755));
  RETURN_IF_ERROR(ReplaceFile(absl::StrCat(directory, "/bundle.pem"), svid.bundle, kPublic));
  RETURN_IF_ERROR(ReplaceFile(absl::StrCat(directory, "/key.pem"), svid.key, kPrivate));
  return ReplaceFile(absl::StrCat(directory, "/svid.pem"), svid.certificate, kPublic);
}

}  // namespace tombolo::ca
