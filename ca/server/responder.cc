// SPDX-License-Identifier: Apache-2.0
#include "server/responder.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/enrolment.h"
#include "tls/pkcs7.h"

namespace tombolo::ca::https {
namespace {

constexpr absl::string_view kPkcs7 = "application/pkcs7-mime";
constexpr absl::string_view kCertsOnly = "application/pkcs7-mime; smime-type=certs-only";

// CsrAttrs (RFC 7030, section 4.5.2): ecPublicKey with the value prime256v1, and ecdsa-with-SHA256.
constexpr unsigned char kCsrAttributes[] = {
    0x30, 0x21,                                                              //
    0x30, 0x15,                                                              // Attribute
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,                    // 1.2.840.10045.2.1
    0x31, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,  // 1.2.840.10045.3.1.7
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,              // 1.2.840.10045.4.3.2
};

Answer CsrAttributes() {
  static const auto body = std::make_shared<const std::string>(
      tls::EncodeBody({reinterpret_cast<const char*>(kCsrAttributes), sizeof(kCsrAttributes)}));
  return Document("application/csrattrs", body);
}

// A part of what is published, without a copy of it.
std::shared_ptr<const std::string> PartOf(const std::shared_ptr<const Published>& published,
                                          const std::string& part) {
  return {published, &part};
}

Answer Bundle(const std::shared_ptr<const Published>& published) {
  Answer answer = Document("application/json", PartOf(published, published->bundle));
  answer.fields.emplace_back("ETag", absl::StrCat("\"", published->sequence, "\""));
  return answer;
}

Answer NotModified(std::uint64_t known) {
  return {.status = 304,
          .fields = {{"Cache-Control", "no-cache"}, {"ETag", absl::StrCat("\"", known, "\"")}}};
}

Answer Crl(const std::shared_ptr<const Published>& published, const std::string& key) {
  const auto found = published->crls.find(key);
  if (found == published->crls.end()) return Refuse(404, "no authority with this key");
  return Document("application/pkix-crl", PartOf(published, found->second));
}

// What an enrolment asks for, or what is wrong with it.
absl::StatusOr<EnrolRequest> ToEnrolRequest(const Request& request) {
  EnrolRequest enrol{.csr = {},
                     .renew = request.target.resource == Resource::kReenroll,
                     .caller = {request.peer, std::nullopt, request.address, request.judged_by}};
  if (!request.authorization.empty()) {
    absl::StatusOr<std::string> token = ParseAuthorization(request.authorization);
    if (!token.ok()) return token.status();
    enrol.caller.token = *std::move(token);
  }
  if (enrol.renew && !request.peer) {
    return absl::UnauthenticatedError("a renewal needs the SVID as client certificate");
  }
  if (!request.peer && !enrol.caller.token) {
    return absl::UnauthenticatedError("neither a token nor a client certificate");
  }
  absl::StatusOr<std::string> csr = DecodeEnrolBody(request.body);
  if (!csr.ok()) return csr.status();
  enrol.csr = *std::move(csr);
  return enrol;
}

absl::StatusOr<std::string> ToBody(const std::string& certificates) {
  absl::StatusOr<std::string> der = tls::MakeCertsOnly(certificates, "enrolled certificates");
  // Whatever is wrong with it is not the client's fault.
  if (!der.ok()) return absl::InternalError(der.status().message());
  return tls::EncodeBody(*der);
}

Answer Enrolment(absl::StatusOr<std::string> certificates) {
  if (!certificates.ok()) return RefuseFor(certificates.status());
  absl::StatusOr<std::string> body = ToBody(*certificates);
  if (!body.ok()) return RefuseFor(body.status());
  Answer answer = Document(kCertsOnly, std::make_shared<const std::string>(*std::move(body)));
  answer.fields = {{"Cache-Control", "no-store"}};
  return answer;
}

Answer NothingPublished() {
  return RefuseFor(absl::UnavailableError("there is no trust bundle yet"));
}

}  // namespace

Awaitable<Answer> Responder::Respond(Request request) {
  const Resource resource = request.target.resource;
  if (resource == Resource::kCsrAttrs) co_return CsrAttributes();
  if (resource == Resource::kEnroll || resource == Resource::kReenroll) {
    co_return co_await Enrolled(std::move(request));
  }
  if (resource == Resource::kTrust) co_return co_await Trust(std::move(request));
  const std::shared_ptr<const Published> published = Current();
  if (published == nullptr) co_return NothingPublished();
  if (resource == Resource::kCaCerts) co_return CaCerts(published);
  if (resource == Resource::kCrl) co_return Crl(published, request.target.key);
  if (request.known == published->sequence) co_return NotModified(published->sequence);
  co_return Bundle(published);
}

void Responder::Wake() {
  for (asio::steady_timer* timer : held_) timer->cancel();
}

Answer Responder::CaCerts(const std::shared_ptr<const Published>& published) {
  if (ca_certs_of_ != published) {
    absl::StatusOr<std::string> body = ToBody(published->roots);
    if (!body.ok()) return RefuseFor(body.status());
    ca_certs_ = std::make_shared<const std::string>(*std::move(body));
    ca_certs_of_ = published;
  }
  return Document(kPkcs7, ca_certs_);
}

Awaitable<Answer> Responder::Trust(Request request) {
  if (!request.peer) {
    co_return RefuseFor(absl::UnauthenticatedError("this needs a node's or a gateway's SVID"));
  }
  const SpiffeId::Kind kind = request.peer->id.name().kind;
  if (kind != SpiffeId::Kind::kNode && kind != SpiffeId::Kind::kGateway) {
    co_return RefuseFor(
        absl::PermissionDeniedError("only nodes and gateways hold the trust bundle open"));
  }
  const std::chrono::seconds wait =
      std::min(request.wait.value_or(std::chrono::seconds(0)), state_->limits.longest_wait);
  const MonotonicTime deadline = After(wait);
  asio::steady_timer timer(*io_);
  held_.insert(&timer);
  ++state_->counters.held;
  const absl::Cleanup done = [this, &timer] {
    held_.erase(&timer);
    --state_->counters.held;
  };
  bool noted = !request.known;
  for (;;) {
    const std::shared_ptr<const Published> published = Current();
    if (published == nullptr) co_return NothingPublished();
    // Nobody holds what is not published: it is of a store that has been restored since, or of a
    // replica that is ahead of this one, which will follow.
    if (!noted && *request.known <= published->sequence) {
      state_->handlers.acknowledged(request.peer->id, *request.known);
      noted = true;
    }
    // A replica that lags behind has nothing newer to say than what the node holds.
    if (!request.known || published->sequence > *request.known) co_return Bundle(published);
    const MonotonicTime now = std::chrono::steady_clock::now();
    if (now >= deadline || state_->stopping || request.gone())
      co_return NotModified(*request.known);
    timer.expires_at(std::min(deadline, now + state_->limits.gone_check));
    co_await timer.async_wait(kUseTuple);
  }
}

Awaitable<Answer> Responder::Enrolled(Request request) {
  absl::StatusOr<EnrolRequest> enrol = ToEnrolRequest(request);
  if (absl::IsOutOfRange(enrol.status())) co_return Refuse(413, enrol.status().message());
  if (!enrol.ok()) co_return RefuseFor(enrol.status());
  absl::StatusOr<std::string> certificates = co_await Enrol(io_, state_, *std::move(enrol));
  co_return Enrolment(std::move(certificates));
}

}  // namespace tombolo::ca::https
