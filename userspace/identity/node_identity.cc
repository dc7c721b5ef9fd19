// SPDX-License-Identifier: Apache-2.0
#include "identity/node_identity.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"
#include "tls/digest.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxNodeFile = 1 << 20;

}  // namespace

NodeIdentity::NodeIdentity(const Options& options, SpiffeId id, SpiffeId authority,
                           EstClient& client, const HeldTrust& trust)
    : options_(options),
      id_(std::move(id)),
      authority_(std::move(authority)),
      client_(client),
      trust_(trust) {
  record_.due = std::chrono::system_clock::now();
}

absl::Status NodeIdentity::Restore(WallTime now) {
  if (options_.state.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> pem = ReadFile(NodeFile(options_), kMaxNodeFile);
  if (absl::IsNotFound(pem.status())) return absl::OkStatus();  // the first start
  if (!pem.ok()) return pem.status();
  ASSIGN_OR_RETURN(const TrustPtr trust, trust_.Base());
  absl::StatusOr<Svid> svid = MakeSvid(id_, {*pem, *pem}, trust, now);
  if (!svid.ok()) return Annotate(svid.status(), NodeFile(options_));
  record_.Restored(*std::move(svid), options_.pace, now, RandomJitter(options_));
  // Another key than this SVID's may have cost a token, whose certificate is still to come.
  const absl::StatusOr<std::string> key = ReadFile(KeyFile(options_), kMaxNodeFile);
  if (key.ok() && absl::StartsWith(*pem, *key)) state_status_ = RemoveFile(KeyFile(options_));
  return MakeContext();
}

const std::string& NodeIdentity::TokenFile() const {
  return options_.join_token.empty() ? options_.service_account_token : options_.join_token;
}

NodeIdentity::Digest NodeIdentity::FilesNow() const {
  std::string all;
  for (const auto& content :
       {ReadFile(options_.trust, tls::kMaxTrustBundleSize), ReadToken(TokenFile())}) {
    absl::StrAppend(&all, content.ok() ? *content : content.status().ToString(), "\n");
  }
  return tls::Sha256(all);
}

HttpsContextPtr NodeIdentity::ContextAt(WallTime now) const {
  return record_.svid.ValidAt(now) ? context_ : nullptr;
}

void NodeIdentity::Judge(WallTime now) {
  record_.Judge(id_, trust_.bundle(), options_.pace, now);
  if (absl::Status made = MakeContext(); !made.ok()) record_.error = std::move(made);
}

absl::StatusOr<HttpsContextPtr> NodeIdentity::Anonymous(const Trust& trust) const {
  return tls::HttpsContext::ForClient(trust.anchors, authority_, nullptr);
}

absl::Status NodeIdentity::MakeContext() {
  context_ = nullptr;
  const Svid& svid = record_.svid;
  if (svid.credentials == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(context_,
                   tls::HttpsContext::ForClient(svid.trust->anchors, authority_, svid.credentials));
  return absl::OkStatus();
}

void NodeIdentity::Keep() {
  if (kept_ || options_.state.empty()) return;
  state_status_ =
      ReplacePrivateFile(NodeFile(options_), absl::StrCat(record_.svid.key, record_.svid.chain));
  // The key that this certificate was had by is done with; not one that is under way again.
  if (state_status_.ok() && enrolment_key_.empty()) state_status_ = RemoveFile(KeyFile(options_));
  kept_ = state_status_.ok();
}

absl::Status NodeIdentity::Take(Certified issued) {
  // A bundle may have come while this was under way.
  ASSIGN_OR_RETURN(const TrustPtr trust, trust_.Base());
  ASSIGN_OR_RETURN(Svid svid,
                   MakeSvid(id_, std::move(issued), trust, std::chrono::system_clock::now()));
  record_.Issued(std::move(svid), options_.pace, RandomJitter(options_));
  enrolment_key_.clear();
  kept_ = false;
  Keep();
  return MakeContext();
}

Awaitable<absl::StatusOr<Certified>> NodeIdentity::Reenroll() {
  CO_ASSIGN_OR_RETURN(std::string key, tls::GenerateKey());
  CO_ASSIGN_OR_RETURN(std::string csr, tls::MakeCsr(key, id_));
  CO_ASSIGN_OR_RETURN(std::string chain, co_await client_.Reenroll(context_, std::move(csr)));
  co_return Certified{std::move(chain), std::move(key)};
}

// On disk before the first request has it.
absl::StatusOr<std::string> NodeIdentity::EnrolmentKey() {
  if (!enrolment_key_.empty()) return enrolment_key_;
  if (!options_.state.empty()) {
    const absl::StatusOr<std::string> kept = ReadFile(KeyFile(options_), kMaxNodeFile);
    if (kept.ok() && tls::MakeCsr(*kept, id_).ok()) return enrolment_key_ = *kept;
  }
  ASSIGN_OR_RETURN(enrolment_key_, tls::GenerateKey());
  // One that cannot be written holds until a crash, and View() says so.
  if (!options_.state.empty())
    state_status_ = ReplacePrivateFile(KeyFile(options_), enrolment_key_);
  return enrolment_key_;
}

Awaitable<absl::StatusOr<Certified>> NodeIdentity::EnrollByToken() {
  CO_ASSIGN_OR_RETURN(const TrustPtr trust, trust_.Base());
  CO_ASSIGN_OR_RETURN(std::string token, ReadToken(TokenFile()));
  CO_ASSIGN_OR_RETURN(HttpsContextPtr anonymous, Anonymous(*trust));
  CO_ASSIGN_OR_RETURN(std::string key, EnrolmentKey());
  CO_ASSIGN_OR_RETURN(std::string csr, tls::MakeCsr(key, id_));
  CO_ASSIGN_OR_RETURN(std::string chain, co_await client_.Enroll(std::move(anonymous),
                                                                 std::move(csr), std::move(token)));
  co_return Certified{std::move(chain), std::move(key)};
}

Awaitable<absl::StatusOr<Certified>> NodeIdentity::Attempt() {
  absl::Status reenrolled;
  if (ContextAt(std::chrono::system_clock::now()) != nullptr) {
    absl::StatusOr<Certified> issued = co_await Reenroll();
    if (issued.ok() || !RefusesCertificate(issued.status())) co_return issued;
    reenrolled = issued.status();
  }
  absl::StatusOr<Certified> issued = co_await EnrollByToken();
  if (issued.ok() || reenrolled.ok()) co_return issued;
  co_return absl::Status(issued.status().code(),
                         absl::StrCat("by its SVID: ", reenrolled.message(),
                                      "; by its token: ", issued.status().message()));
}

Awaitable<absl::Status> NodeIdentity::Renew() {
  record_.Begin(std::chrono::system_clock::now());
  files_ = FilesNow();
  absl::StatusOr<Certified> issued = co_await Attempt();
  record_.asking = false;
  const WallTime now = std::chrono::system_clock::now();
  if (!issued.ok()) {
    record_.Failed(issued.status(), options_.pace, client_.rest(), now, RandomJitter(options_));
    if (FilesHaveChanged()) record_.due = now;  // while they were in use
    co_return issued.status();
  }
  absl::Status taken = Take(*std::move(issued));
  if (!taken.ok()) record_.Useless(taken, options_.pace, now, RandomJitter(options_));
  co_return taken;
}

}  // namespace tombolo::identity
