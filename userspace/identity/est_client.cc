// SPDX-License-Identifier: Apache-2.0
#include "identity/est_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/handshake_failure.h"
#include "tls/pkcs7.h"
#include "tls/trust_bundle.h"

namespace tombolo::identity {
namespace {

constexpr char kEnroll[] = "/.well-known/est/simpleenroll";
constexpr char kReenroll[] = "/.well-known/est/simplereenroll";
constexpr char kTrust[] = "/v1/trust";
constexpr char kPublicTrust[] = "/.well-known/spiffe/bundle";
// A busy server that does not say when to come back.
constexpr Duration kDefaultRest = std::chrono::seconds(5);
// What base64 in lines makes of it.
constexpr std::size_t kMaxChainBody = tls::kMaxPkcs7Size * 3 / 2;

// `status` with another code and message, and with what else it carries.
absl::Status Recoded(const absl::Status& status, absl::StatusCode code, absl::string_view message) {
  absl::Status made(code, message);
  status.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { made.SetPayload(type, payload); });
  return made;
}

HttpRequest CertificateRequest(absl::string_view target, absl::string_view csr) {
  return {.target = std::string(target),
          .headers = {{"Content-Type", "application/pkcs10"},
                      {"Content-Transfer-Encoding", "base64"},
                      {"Accept", "application/pkcs7-mime"}},
          .body = tls::EncodeBody(csr),
          .max_answer = kMaxChainBody};
}

// Whatever came between, nobody has answered: a certificate that was not accepted is no refusal of
// what was asked for.
absl::Status Unanswered(const absl::Status& why) {
  if (absl::IsDeadlineExceeded(why) || absl::IsCancelled(why)) return why;
  return Recoded(why, absl::StatusCode::kUnavailable, why.message());
}

bool NotNow(const HttpAnswer& answer) { return answer.status == 429 || answer.status >= 500; }

// Of what several servers have said or not, the most: an answer, that they do not want the
// certificate, that they are busy, that they are not accepted here.
int WeightOf(const absl::StatusOr<HttpAnswer>& answer) {
  if (answer.ok()) return NotNow(*answer) ? 2 : 4;
  if (RefusesCertificate(Unanswered(answer.status()))) return 3;
  return ServerNotAccepted(answer.status()) ? 1 : 0;
}

}  // namespace

// A connection with a request under way.
class EstClient::Busy {
 public:
  Busy(EstClient& client, HttpsConnection& connection) : client_(client), connection_(connection) {
    client_.busy_.insert(&connection_);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { client_.busy_.erase(&connection_); }

 private:
  EstClient& client_;
  HttpsConnection& connection_;
};

EstClient::EstClient(asio::any_io_executor executor, std::vector<net::HttpsUrl> urls,
                     Deadlines deadlines)
    : executor_(std::move(executor)),
      urls_(std::move(urls)),
      deadlines_(deadlines),
      endpoints_(urls_.size()) {}

EstClient::~EstClient() = default;

void EstClient::Close() {
  closed_ = true;
  idle_.clear();
  for (HttpsConnection* connection : busy_) connection->Close();
}

void EstClient::Trim() {
  const MonotonicTime now = std::chrono::steady_clock::now();
  std::erase_if(idle_, [now](const Idle& idle) { return now - idle.since > kKeepIdle; });
}

std::unique_ptr<HttpsConnection> EstClient::TakeIdle(std::size_t endpoint,
                                                     const HttpsContextPtr& context) {
  Trim();
  // Those of a context that has been replaced speak for a certificate that has, too.
  std::erase_if(idle_, [&](const Idle& idle) { return idle.connection->context() != context; });
  const auto found = std::find_if(idle_.begin(), idle_.end(),
                                  [&](const Idle& idle) { return idle.endpoint == endpoint; });
  if (found == idle_.end()) return nullptr;
  auto connection = std::move(found->connection);
  idle_.erase(found);
  return connection;
}

void EstClient::Keep(std::size_t endpoint, std::unique_ptr<HttpsConnection> connection) {
  if (closed_ || !connection->open() || idle_.size() >= kMaxIdle) return;
  idle_.push_back({endpoint, std::chrono::steady_clock::now(), std::move(connection)});
}

Awaitable<absl::StatusOr<HttpAnswer>> EstClient::AskAnew(std::size_t endpoint,
                                                         HttpsContextPtr context,
                                                         HttpRequest request, Duration patience) {
  auto connection =
      std::make_unique<HttpsConnection>(executor_, urls_[endpoint], std::move(context));
  absl::StatusOr<HttpAnswer> answer;
  {
    const Busy busy(*this, *connection);
    CO_RETURN_IF_ERROR(co_await connection->Open(After(deadlines_.open)));
    answer = co_await connection->Exchange(std::move(request), After(patience));
  }
  Keep(endpoint, std::move(connection));
  co_return answer;
}

Awaitable<absl::StatusOr<HttpAnswer>> EstClient::AskOne(std::size_t endpoint,
                                                        HttpsContextPtr context,
                                                        HttpRequest request, Duration patience) {
  std::unique_ptr<HttpsConnection> connection = TakeIdle(endpoint, context);
  if (connection != nullptr) {
    absl::StatusOr<HttpAnswer> answer;
    {
      const Busy busy(*this, *connection);
      answer = co_await connection->Exchange(request, After(patience));
    }
    // The server may have closed it meanwhile, which says nothing about the server.
    if (answer.ok() || absl::IsDeadlineExceeded(answer.status()) || closed_) {
      Keep(endpoint, std::move(connection));
      co_return answer;
    }
  }
  co_return co_await AskAnew(endpoint, std::move(context), std::move(request), patience);
}

bool EstClient::Judge(std::size_t endpoint, const absl::StatusOr<HttpAnswer>& answer) {
  if (!answer.ok()) return true;
  if (NotNow(*answer)) {
    endpoints_.Rest(endpoint, std::chrono::steady_clock::now(),
                    RestWanted(*answer, std::chrono::system_clock::now(), kDefaultRest));
    return true;
  }
  endpoints_.Answered(endpoint);
  reachable_ = true;
  return false;
}

Awaitable<absl::StatusOr<HttpAnswer>> EstClient::Ask(HttpsContextPtr context, HttpRequest request,
                                                     Duration patience) {
  const std::vector<std::size_t> order = endpoints_.Order(std::chrono::steady_clock::now());
  if (order.empty()) co_return absl::UnavailableError("the authority has asked to be left alone");
  std::vector<std::string> failures;
  absl::Status most;
  int weight = -1;
  for (const std::size_t endpoint : order) {
    if (closed_) co_return absl::CancelledError("the client was closed");
    absl::StatusOr<HttpAnswer> answer = co_await AskOne(endpoint, context, request, patience);
    const bool go_on = Judge(endpoint, answer);
    absl::Status failed = answer.ok() ? ToStatus(*answer) : Unanswered(answer.status());
    if (failed.ok()) co_return answer;
    failures.push_back(absl::StrCat(urls_[endpoint].ToString(), ": ", failed.message()));
    if (const int next = WeightOf(answer); next > weight) {
      weight = next;
      most = std::move(failed);
    }
    if (!go_on) break;
    if (endpoint == order.back()) reachable_ = false;
  }
  co_return Recoded(most, most.code(), absl::StrJoin(failures, "; "));
}

Awaitable<absl::StatusOr<std::string>> EstClient::Issue(HttpsContextPtr context,
                                                        HttpRequest request) {
  CO_ASSIGN_OR_RETURN(const HttpAnswer answer,
                      co_await Ask(std::move(context), std::move(request), deadlines_.answer));
  if (answer.status != 200 || !HasType(answer, "application/pkcs7-mime")) {
    co_return absl::UnavailableError(
        absl::StrCat("the authority's answer has status ", answer.status, " and is not PKCS#7"));
  }
  const absl::StatusOr<std::string> der = tls::DecodeBody(answer.body, tls::kMaxPkcs7Size);
  if (!der.ok()) co_return Annotate(der.status(), "the authority's answer");
  absl::StatusOr<std::string> chain = tls::ReadCertsOnly(*der);
  if (!chain.ok()) co_return Annotate(chain.status(), "the authority's answer");
  co_return chain;
}

Awaitable<absl::StatusOr<std::string>> EstClient::Enroll(HttpsContextPtr context, std::string csr,
                                                         std::string token) {
  HttpRequest request = CertificateRequest(kEnroll, csr);
  if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);
  co_return co_await Issue(std::move(context), std::move(request));
}

Awaitable<absl::StatusOr<std::string>> EstClient::Reenroll(HttpsContextPtr context,
                                                           std::string csr) {
  co_return co_await Issue(std::move(context), CertificateRequest(kReenroll, csr));
}

Awaitable<absl::StatusOr<std::optional<std::string>>> EstClient::AskForTrust(
    HttpsContextPtr context, HttpRequest request, std::optional<std::uint64_t> held,
    Duration patience) {
  request.max_answer = tls::kMaxTrustBundleSize;
  request.headers.emplace_back("Accept", "application/json");
  if (held) request.headers.emplace_back("If-None-Match", absl::StrCat("\"", *held, "\""));
  CO_ASSIGN_OR_RETURN(HttpAnswer answer,
                      co_await Ask(std::move(context), std::move(request), patience));
  if (held && answer.status == 304) co_return std::optional<std::string>();
  if (answer.status != 200 || !HasType(answer, "application/json")) {
    co_return absl::UnavailableError(
        absl::StrCat("the authority's answer has status ", answer.status, " and is not JSON"));
  }
  co_return std::move(answer.body);
}

Awaitable<absl::StatusOr<std::optional<std::string>>> EstClient::FetchTrust(
    HttpsContextPtr context, std::optional<std::uint64_t> held, std::chrono::seconds wait) {
  HttpRequest request{.target = kTrust};
  Duration patience = deadlines_.answer;
  if (held) {
    request.headers.emplace_back("Prefer", absl::StrCat("wait=", wait.count()));
    patience += wait;
  }
  co_return co_await AskForTrust(std::move(context), std::move(request), held, patience);
}

Awaitable<absl::StatusOr<std::optional<std::string>>> EstClient::FetchPublicTrust(
    HttpsContextPtr context, std::optional<std::uint64_t> held) {
  HttpRequest request{.target = kPublicTrust};
  co_return co_await AskForTrust(std::move(context), std::move(request), held, deadlines_.answer);
}

bool RefusesCertificate(const absl::Status& status) {
  return IsRefusal(status) || tls::ReasonOf(status) == tls::HandshakeFailure::kRefusedByPeer;
}

bool ServerNotAccepted(const absl::Status& status) {
  switch (tls::ReasonOf(status)) {
    case tls::HandshakeFailure::kUntrusted:
    case tls::HandshakeFailure::kWrongCluster:
    case tls::HandshakeFailure::kRevoked:
    case tls::HandshakeFailure::kExpired:
    case tls::HandshakeFailure::kUnexpectedIdentity:
      return true;
    default:
      return false;  // closed: whoever asks keeps what it has
  }
}

}  // namespace tombolo::identity
