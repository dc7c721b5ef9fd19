// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../../tls/raw_peer.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "testing/loopback_listener.h"
#include "testing/test_pki.h"

namespace tombolo::testing {

// An HTTPS server on 127.0.0.1 that says which keys a cluster signs with. It answers what a test
// tells it and remembers what it was asked; each connection is for one request.
class IssuerServer {
 public:
  IssuerServer() {
    options_.server = true;
    options_.alpn.clear();
    options_.key = *tls::GenerateKey();
    options_.chain =
        *pki_.issuer().IssueLeaf({.id = pki_.Id("/ca"),
                                  .key = tls::SigningKey::FromPem(options_.key, "k")->public_key(),
                                  .validity = tls::Validity::FromNow(std::chrono::hours(1)),
                                  .hosts = {"127.0.0.1"}});
    thread_ = std::thread([this] { AcceptAll(); });
  }
  ~IssuerServer() {
    shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }

  std::string url() const { return absl::StrCat("https://127.0.0.1:", listener_.port()); }
  const std::string& ca() const { return pki_.bundle(); }

  // As a cluster with this issuer would.
  void Serve(const std::string& issuer, const std::string& jwks) {
    Answer(
        "/.well-known/openid-configuration",
        absl::StrCat(R"({"issuer":")", issuer, R"(","jwks_uri":")", url(), R"(/openid/v1/jwks"})"));
    Answer("/openid/v1/jwks", jwks);
  }
  // An empty body is a 404.
  void Answer(const std::string& path, const std::string& body) {
    const std::lock_guard lock(mutex_);
    answers_[path] = body;
  }
  // The heads of all requests so far.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void AcceptAll() {
    std::list<RawPeer> peers;
    for (;;) {
      Fd socket = listener_.Accept();
      if (!socket.valid()) return;
      peers.emplace_back(std::move(socket), options_, [this](SSL* ssl) { Handle(ssl); });
    }
  }
  void Handle(SSL* ssl) {
    std::string head;
    char byte = 0;
    while (head.find("\r\n\r\n") == std::string::npos && SSL_read(ssl, &byte, 1) == 1) {
      head.push_back(byte);
    }
    std::string body;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(head);
      const std::vector<std::string> words = absl::StrSplit(head, ' ');
      if (words.size() > 1) body = answers_[words[1]];
    }
    const std::string answer = absl::StrCat("HTTP/1.1 ", body.empty() ? "404 Not Found" : "200 OK",
                                            "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
    SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
  }

  const TestPki pki_;
  RawPeer::Options options_;
  const LoopbackListener listener_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> answers_;  // by path
  std::vector<std::string> requests_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tombolo::testing
