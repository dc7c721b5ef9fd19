// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "identity/endpoints.h"
#include "identity/http_message.h"
#include "identity/https_connection.h"
#include "net/https_url.h"

namespace tombolo::identity {

// Asks the certificate authority (docs/authority.md). A request that one server cannot be asked, or
// that it cannot answer now, goes to the next; one that is refused does not. What no server has
// answered is Unavailable or DeadlineExceeded, and carries a HandshakeFailure when it was a
// handshake; what one has answered has the code of ToStatus(). Of several servers' failures the one
// that says most counts: a server that is away does not hide what another has said. Connections are
// kept for the next request with the same context. Used on the one thread of `executor`, by any
// number of coroutines; Close() and let them end before destroying.
class EstClient {
 public:
  struct Deadlines {
    Duration open = std::chrono::seconds(5);     // TCP and TLS with one server
    Duration answer = std::chrono::seconds(10);  // one server's
  };
  static constexpr std::size_t kMaxIdle = 8;
  static constexpr Duration kKeepIdle = std::chrono::seconds(5);

  EstClient(asio::any_io_executor executor, std::vector<net::HttpsUrl> urls, Deadlines deadlines);
  ~EstClient();

  // A certificate for a request (DER): PEM, the leaf first. `token` is empty when the context's own
  // certificate vouches. Nothing of the answer has been verified.
  Awaitable<absl::StatusOr<std::string>> Enroll(HttpsContextPtr context, std::string csr,
                                                std::string token);
  // The same for the identity of the context's own certificate.
  Awaitable<absl::StatusOr<std::string>> Reenroll(HttpsContextPtr context, std::string csr);

  // The trust bundle's document. Not set: after `wait` it is still the one that is `held`, which
  // this confirms.
  Awaitable<absl::StatusOr<std::optional<std::string>>> FetchTrust(
      HttpsContextPtr context, std::optional<std::uint64_t> held, std::chrono::seconds wait);

  // The same from where everybody may ask, and at once. Confirms nothing.
  Awaitable<absl::StatusOr<std::optional<std::string>>> FetchPublicTrust(
      HttpsContextPtr context, std::optional<std::uint64_t> held);

  // How long every server has asked to be left alone.
  Duration rest() const { return endpoints_.RestOf(std::chrono::steady_clock::now()); }
  // Whether the last request was answered, by anything but "not now", by one of the servers.
  bool reachable() const { return reachable_; }

  // Closes what was kept for too long.
  void Trim();
  // Ends every request at once; they and all later ones are Cancelled.
  void Close();

 private:
  struct Idle {
    std::size_t endpoint;
    MonotonicTime since;
    std::unique_ptr<HttpsConnection> connection;
  };
  class Busy;

  Awaitable<absl::StatusOr<std::string>> Issue(HttpsContextPtr context, HttpRequest request);
  Awaitable<absl::StatusOr<std::optional<std::string>>> AskForTrust(
      HttpsContextPtr context, HttpRequest request, std::optional<std::uint64_t> held,
      Duration patience);
  Awaitable<absl::StatusOr<HttpAnswer>> Ask(HttpsContextPtr context, HttpRequest request,
                                            Duration patience);
  Awaitable<absl::StatusOr<HttpAnswer>> AskOne(std::size_t endpoint, HttpsContextPtr context,
                                               HttpRequest request, Duration patience);
  Awaitable<absl::StatusOr<HttpAnswer>> AskAnew(std::size_t endpoint, HttpsContextPtr context,
                                                HttpRequest request, Duration patience);
  // Whether the next server should be asked.
  bool Judge(std::size_t endpoint, const absl::StatusOr<HttpAnswer>& answer);
  std::unique_ptr<HttpsConnection> TakeIdle(std::size_t endpoint, const HttpsContextPtr& context);
  void Keep(std::size_t endpoint, std::unique_ptr<HttpsConnection> connection);

  asio::any_io_executor executor_;
  const std::vector<net::HttpsUrl> urls_;
  const Deadlines deadlines_;
  Endpoints endpoints_;
  std::vector<Idle> idle_;
  std::set<HttpsConnection*> busy_;
  bool reachable_ = false;
  bool closed_ = false;
};

// Whether an EstClient's error says that the authority does not want the context's certificate: by
// its answer, or in the handshake already.
bool RefusesCertificate(const absl::Status& status);

// Whether it says that none of the servers that could be reached has a certificate that is good by
// the context's bundle. Never for what was answered.
bool ServerNotAccepted(const absl::Status& status);

}  // namespace tombolo::identity
