// SPDX-License-Identifier: Apache-2.0
#include "identity/node_identity.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "identity/files.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxNodeFile = 1 << 20;

// Whether the authority has looked at the credential and does not want it.
bool Refused(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

}  // namespace

NodeIdentity::NodeIdentity(const Options& options, SpiffeId id, SpiffeId authority,
                           EstClient& client)
    : options_(options), id_(std::move(id)), authority_(std::move(authority)), client_(client) {
  record_.due = std::chrono::system_clock::now();
}

absl::Status NodeIdentity::Restore(WallTime now) {
  if (options_.state.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(RestoreTrust());
  const absl::StatusOr<std::string> pem = ReadFile(NodeFile(options_), kMaxNodeFile);
  if (absl::IsNotFound(pem.status())) return absl::OkStatus();  // the first start
  if (!pem.ok()) return pem.status();
  ASSIGN_OR_RETURN(const TrustPtr trust, Bootstrap());
  absl::StatusOr<Svid> svid = MakeSvid(id_, *pem, *pem, trust, now);
  if (!svid.ok()) return Annotate(svid.status(), NodeFile(options_));
  // When it was had is not known; its validity begins a little before.
  svid->obtained = svid->credentials->not_before();
  record_.Issued(*std::move(svid), RandomJitter(options_));
  return MakeContext();
}

absl::Status NodeIdentity::RestoreTrust() {
  absl::StatusOr<std::string> text = ReadFile(BundleFile(options_), tls::kMaxTrustBundleSize);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  ASSIGN_OR_RETURN(trust_,
                   ParseTrust(*std::move(text), options_.trust_domain, BundleFile(options_)));
  return absl::OkStatus();
}

HttpsContextPtr NodeIdentity::ContextAt(WallTime now) const {
  return record_.svid.ValidAt(now) ? context_ : nullptr;
}

void NodeIdentity::SetTrust(TrustPtr trust, WallTime now) {
  trust_ = std::move(trust);
  if (!options_.state.empty()) Keep(BundleFile(options_), trust_->text);
  record_.Judge(id_, trust_, now);
  if (absl::Status made = MakeContext(); !made.ok()) record_.error = std::move(made);
}

absl::Status NodeIdentity::MakeContext() {
  context_ = nullptr;
  const Svid& svid = record_.svid;
  if (svid.credentials == nullptr) return absl::OkStatus();
  tls::Credentials::Pem own{.chain = svid.chain,
                            .key = svid.key,
                            .bundle = svid.trust->text,
                            .chain_name = "the node's SVID",
                            .key_name = "the node's key",
                            .bundle_name = svid.trust->name};
  ASSIGN_OR_RETURN(context_,
                   tls::HttpsContext::ForClient(svid.trust->bundle, authority_, std::move(own)));
  return absl::OkStatus();
}

void NodeIdentity::Keep(const std::string& name, const std::string& content) {
  state_status_ = ReplaceFile(name, content);
}

absl::StatusOr<TrustPtr> NodeIdentity::Bootstrap() const {
  if (trust_ != nullptr) return trust_;
  ASSIGN_OR_RETURN(std::string text, ReadFile(options_.trust, tls::kMaxTrustBundleSize));
  return ParseTrust(std::move(text), options_.trust_domain, options_.trust);
}

absl::Status NodeIdentity::Take(std::string chain, std::string key, const TrustPtr& trust) {
  // A bundle may have come while this was under way.
  const TrustPtr newest = trust_ == nullptr ? trust : trust_;
  absl::StatusOr<Svid> svid =
      MakeSvid(id_, std::move(chain), std::move(key), newest, std::chrono::system_clock::now());
  // Not the authority's refusal, which another credential might change.
  if (!svid.ok()) return absl::FailedPreconditionError(svid.status().message());
  record_.Issued(*std::move(svid), RandomJitter(options_));
  if (!options_.state.empty()) {
    Keep(NodeFile(options_), absl::StrCat(record_.svid.key, record_.svid.chain));
  }
  return MakeContext();
}

Awaitable<absl::Status> NodeIdentity::Reenroll(TrustPtr trust) {
  CO_ASSIGN_OR_RETURN(std::string key, tls::GenerateKey());
  CO_ASSIGN_OR_RETURN(std::string csr, tls::MakeCsr(key, id_));
  CO_ASSIGN_OR_RETURN(std::string chain, co_await client_.Reenroll(context_, std::move(csr)));
  co_return Take(std::move(chain), std::move(key), trust);
}

Awaitable<absl::Status> NodeIdentity::EnrollByToken(TrustPtr trust) {
  const bool joins = !options_.join_token.empty();
  CO_ASSIGN_OR_RETURN(std::string token,
                      ReadToken(joins ? options_.join_token : options_.service_account_token));
  CO_ASSIGN_OR_RETURN(HttpsContextPtr anonymous,
                      tls::HttpsContext::ForClient(trust->bundle, authority_, std::nullopt));
  CO_ASSIGN_OR_RETURN(std::string key, tls::GenerateKey());
  CO_ASSIGN_OR_RETURN(std::string csr, tls::MakeCsr(key, id_));
  CO_ASSIGN_OR_RETURN(std::string chain, co_await client_.Enroll(std::move(anonymous),
                                                                 std::move(csr), std::move(token)));
  co_return Take(std::move(chain), std::move(key), trust);
}

Awaitable<absl::Status> NodeIdentity::Attempt() {
  CO_ASSIGN_OR_RETURN(const TrustPtr trust, Bootstrap());
  absl::Status reenrolled;
  if (ContextAt(std::chrono::system_clock::now()) != nullptr) {
    reenrolled = co_await Reenroll(trust);
    if (!Refused(reenrolled)) co_return reenrolled;
  }
  absl::Status enrolled = co_await EnrollByToken(trust);
  if (enrolled.ok() || reenrolled.ok()) co_return enrolled;
  co_return absl::Status(enrolled.code(), absl::StrCat("by its SVID: ", reenrolled.message(),
                                                       "; by its token: ", enrolled.message()));
}

Awaitable<absl::Status> NodeIdentity::Renew() {
  record_.asking = true;
  absl::Status status = co_await Attempt();
  record_.asking = false;
  if (!status.ok()) {
    record_.Failed(status, options_.pace, client_.rest(), std::chrono::system_clock::now(),
                   RandomJitter(options_));
  }
  co_return status;
}

}  // namespace tombolo::identity
