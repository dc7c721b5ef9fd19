// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "tls/openssl.h"

namespace tombolo::testing {

// The other side of a handshake: an ordinary SSL object on a thread of its own,
// which trusts everybody and does what a test asks of it, right or wrong.
class RawPeer {
 public:
  struct Options {
    bool server = false;
    std::string chain, key;  // PEM; empty: no certificate
    std::string sni = "a.test.example";
    std::string alpn = "tombolo/1";  // empty: none
    std::string suites;              // empty: OpenSSL's choice
    int max_version = TLS1_3_VERSION;
  };
  // Runs with the SSL object after a handshake that has succeeded.
  using Then = std::function<void(SSL*)>;

  // Takes the socket, which it makes blocking.
  RawPeer(
      Fd socket, Options options, Then then = [](SSL*) {});
  ~RawPeer() { Join(); }

  // Waits for the thread; whether the handshake succeeded.
  bool Join();

 private:
  void Run(const Options& options, const Then& then);

  Fd socket_;
  bool succeeded_ = false;
  std::thread thread_;
};

}  // namespace tombolo::testing
