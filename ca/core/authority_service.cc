// SPDX-License-Identifier: Apache-2.0
#include "core/authority_service.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "core/join_token.h"
#include "ledger/reader.h"
#include "tls/digest.h"
#include "tls/jwt.h"

namespace tombolo::ca {
namespace {

// Nobody is at fault, and the same request may succeed.
absl::Status TryAgain(const absl::Status& why) { return absl::UnavailableError(why.message()); }

// Who asks, for the audit log.
std::string ActorOf(const CertificateRequest& request) {
  if (request.peer) return request.peer->id.text();
  if (request.token.empty()) return "nobody";
  if (!IsJoinToken(request.token)) return "a service account token";
  return absl::StrCat("join token ", JoinTokenDigest(request.token).substr(0, 8));
}

// What a ledger's refusal means to whoever asked.
absl::Status ForCaller(const absl::Status& status, bool paid) {
  if (paid && absl::IsPermissionDenied(status)) {
    return absl::UnauthenticatedError(status.message());
  }
  if (absl::IsResourceExhausted(status)) return status;
  return TryAgain(status);
}

}  // namespace

AuthorityService::AuthorityService(std::shared_ptr<Store> store, Ledger& ledger,
                                   const Registry& registry, Options options)
    : store_(std::move(store)),
      ledger_(ledger),
      registry_(registry),
      options_(std::move(options)),
      pool_(std::max(1u, options_.threads)) {}

AuthorityService::~AuthorityService() {
  pool_.join();
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return jobs_ == 0; });
}

void AuthorityService::Enrol(CertificateRequest request, Done done) {
  {
    std::unique_lock lock(mutex_);
    if (jobs_ >= options_.queue) {
      lock.unlock();
      ++counters_.busy;
      return done(absl::ResourceExhaustedError("too many requests wait already"));
    }
    ++jobs_;
  }
  auto job = std::make_shared<Job>(Job{.request = std::move(request),
                                       .done = std::move(done),
                                       .deadline = After(options_.patience),
                                       .subject = {}});
  boost::asio::post(pool_, [this, job] { Work(job); });
}

void AuthorityService::Work(const std::shared_ptr<Job>& job) {
  if (std::chrono::steady_clock::now() >= job->deadline) {
    return Finish(job, absl::UnavailableError("the authority is too busy"));
  }
  absl::StatusOr<Signed> made = Sign(*job);
  if (!made.ok()) return Finish(job, made.status());
  Commit(job, *std::move(made));
}

// What the store has to say about what the caller shows.
absl::StatusOr<Credential> AuthorityService::FindCredential(
    const CertificateRequest& request) const {
  Credential credential{.peer = request.peer, .token = request.token, .join_token = {}};
  const Reader reader(*store_);
  if (IsJoinToken(request.token)) {
    absl::StatusOr<std::optional<Token>> found = reader.FindToken(JoinTokenDigest(request.token));
    if (!found.ok()) return TryAgain(found.status());
    credential.join_token = *std::move(found);
  }
  if (request.peer && request.peer->id.name().kind == SpiffeId::Kind::kWorkload) {
    absl::StatusOr<std::optional<Certificate>> found = reader.FindCertificate(request.peer->serial);
    if (!found.ok()) return TryAgain(found.status());
    // Fails closed: where it would be used is not known.
    if (!*found) {
      return absl::PermissionDeniedError(absl::StrCat(
          "this authority has no record of the client certificate ", request.peer->serial));
    }
    credential.peer->node = (*found)->node;
  }
  return credential;
}

// A cluster may sign with new keys by now. Anybody can make it be asked, as seldom as that is done.
void AuthorityService::DoubtKeys(const CertificateRequest& request, const absl::Status& why) const {
  if (request.token.empty() || IsJoinToken(request.token)) return;
  if (!absl::IsUnauthenticated(why) && !absl::IsUnavailable(why)) return;
  const absl::StatusOr<std::string> issuer = tls::UnverifiedIssuer(request.token);
  if (issuer.ok()) registry_.issuers().Doubt(*issuer);
}

absl::StatusOr<AuthorityService::Signed> AuthorityService::Sign(Job& job) {
  ASSIGN_OR_RETURN(const tls::Csr csr, tls::ParseCsr(job.request.csr));
  job.subject = absl::StrJoin(csr.uris, " ");
  // Before the store is asked: what is decided by is at least as old.
  const ViewPtr view = registry_.view();
  // A root or an authority may have left since: nobody is served for the sake of what has gone. The
  // ledger sees to what changes from here on.
  if (job.request.peer && !view->TrustsAs(job.request.peer->judged_by)) {
    return absl::UnavailableError("the caller was judged by another trust bundle than the newest");
  }
  ASSIGN_OR_RETURN(Credential credential, FindCredential(job.request));
  credential.key = tls::Hex(csr.key.id());
  const WallTime now = options_.now();
  absl::StatusOr<Grant> decided =
      Decide(credential, {.uris = csr.uris, .renew = job.request.renew}, view->rules(), now);
  if (!decided.ok()) {
    DoubtKeys(job.request, decided.status());
    return decided.status();
  }
  Grant grant = *std::move(decided);
  job.subject = grant.id.text();
  const auto signer = view->signers.find(grant.cluster);
  if (signer == view->signers.end()) {
    if (view->state.trust.SignerFor(grant.cluster) != nullptr) {
      return absl::UnavailableError(
          absl::StrCat("this replica has not the key of cluster '", grant.cluster, "'"));
    }
    return absl::PermissionDeniedError(
        absl::StrCat("there is no authority for cluster '", grant.cluster, "'"));
  }
  absl::StatusOr<Issuance> issuance =
      IssueLeaf(*signer->second,
                {.id = grant.id, .key = csr.key, .requester = grant.requester, .node = grant.node},
                options_.ttl, now);
  if (!issuance.ok()) return TryAgain(issuance.status());
  return Signed{
      .issuance = *std::move(issuance), .grant = std::move(grant), .basis = view->state.basis};
}

void AuthorityService::Commit(const std::shared_ptr<Job>& job, Signed made) {
  Enrolled enrolled{.certificates = absl::StrCat(made.issuance.leaf, made.issuance.chain),
                    .id = made.grant.id,
                    .not_after = made.issuance.record.not_after};
  const bool paid = made.grant.payment.has_value();
  ledger_.Issue(std::move(made.issuance.record), std::move(made.grant.payment), made.basis,
                ActorOf(job->request),
                [this, job, paid,
                 enrolled = std::move(enrolled)](const absl::StatusOr<Committed>& committed) {
                  if (committed.ok()) return Finish(job, enrolled);
                  Finish(job, ForCaller(committed.status(), paid));
                });
}

void AuthorityService::Finish(const std::shared_ptr<Job>& job, absl::StatusOr<Enrolled> result) {
  if (result.ok()) {
    ++counters_.issued;
  } else {
    CountRefusal(*job, result.status());
  }
  job->done(std::move(result));
  const std::lock_guard lock(mutex_);
  if (--jobs_ == 0) idle_.notify_all();
}

void AuthorityService::CountRefusal(const Job& job, const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      ++counters_.malformed;
      break;
    case absl::StatusCode::kUnauthenticated:
      ++counters_.unauthenticated;
      break;
    case absl::StatusCode::kPermissionDenied:
      ++counters_.denied;
      break;
    case absl::StatusCode::kResourceExhausted:
      ++counters_.busy;
      return;
    default:
      ++counters_.unavailable;
      log::WriteLimited(log::Level::kWarning, "nothing could be issued", "unavailable",
                        {{"reason", status}});
      return;
  }
  const std::optional<std::uint64_t> left_out =
      refusals_.Take(status.code(), std::chrono::steady_clock::now());
  if (!left_out) {
    ++counters_.refusals_not_recorded;
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    ++jobs_;
  }
  ledger_.Note(
      RefusalEntry(status, ActorOf(job.request), job.subject, job.request.address, *left_out),
      [this](const absl::StatusOr<Committed>& committed) {
        if (!committed.ok()) ++counters_.refusals_not_recorded;
        const std::lock_guard lock(mutex_);
        if (--jobs_ == 0) idle_.notify_all();
      });
}

}  // namespace tombolo::ca
