// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/asio.h"
#include "base/spiffe_id.h"
#include "base/task_group.h"
#include "net/https_url.h"
#include "testing/cluster_pki.h"
#include "tls/https.h"

namespace tombolo::testing {

// A certificate authority (docs/authority.md) on a real TLS listener of 127.0.0.1, which a test can
// make misbehave. It has what a client sees of one and no more: no store, no rules but the fields
// below. Runs on `io`'s one thread; Stop() before destroying.
class TestAuthority {
 public:
  struct Request {
    std::string method, target, token, if_none_match;
    std::chrono::seconds wait{0};  // Prefer
    std::string body;
    std::string caller;  // SPIFFE ID; empty: no certificate
    std::string sni;     // empty: none
    MonotonicTime at;
  };
  struct Answer {
    unsigned status = 200;
    std::string type = "text/plain";
    std::string body{};
    std::string retry_after{};
  };

  // Presents an SVID for spiffe://test.example<path>.
  explicit TestAuthority(asio::io_context& io, const std::string& path = "/ca");
  ~TestAuthority();

  // From then on nobody is let in, and whoever is there is cut off.
  void Close();
  // On the same port as before.
  void Open();
  Awaitable<void> Stop();
  net::HttpsUrl url() const { return {.host = "127.0.0.1", .port = port_}; }

  // Replaces the trust bundle, with this sequence, and answers who waits for it.
  void Publish(std::uint64_t sequence);
  const std::string& root() const { return pki_.root(); }
  tls::KeyId KeyOf(const std::string& cluster) const {
    return pki_.issuer(cluster).public_key().id();
  }

  tls::TrustBundle bundle;  // change it, then Publish()
  std::chrono::seconds ttl{3600};
  std::set<std::string> tokens;   // each good for one key, and for that again
  int lost_answers = 0;           // so many of the next certificates do not arrive
  std::set<std::string> refused;  // SPIFFE IDs that nobody gets
  std::string issue_instead;      // a SPIFFE ID, whatever is asked for
  // Answers instead of the authority, when it wants to.
  std::function<std::optional<Answer>(const Request&)> intercept;
  bool silent = false;  // takes requests and answers none

  const std::vector<Request>& requests() const { return requests_; }
  std::size_t CountOf(const std::string& target) const;

 private:
  struct Peer;  // one connection

  Awaitable<void> Accept();
  Awaitable<void> Serve(asio::ip::tcp::socket socket);
  Awaitable<Answer> Handle(Request request);
  Answer Enroll(const Request& request);
  bool Spend(const std::string& token, const tls::KeyId& key);
  Awaitable<Answer> Trust(Request request);
  Answer PublicTrust(const Request& request) const;
  bool Holds(const Request& request) const;

  asio::io_context& io_;
  ClusterPki pki_;
  std::shared_ptr<const tls::HttpsContext> context_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::string document_;
  std::vector<Request> requests_;
  std::map<std::string, tls::KeyId> spent_;  // by token
  std::set<Peer*> peers_;
  asio::steady_timer published_;  // cancelled by Publish()
  TaskGroup tasks_;
};

}  // namespace tombolo::testing
