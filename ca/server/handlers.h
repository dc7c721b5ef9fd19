// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "tls/https.h"

namespace tombolo::ca {

// Who asks, as far as a connection and a request say.
struct Caller {
  std::optional<tls::HttpsPeer> peer;  // its SVID holds now
  std::optional<std::string> token;    // of nobody knows whom; visible ASCII
  std::string address;                 // "10.0.0.1", for logs and the audit
  std::uint64_t judged_by = 0;         // sequence of the trust bundle by which `peer` holds
};

struct EnrolRequest {
  std::string csr;     // DER, at most tls::kMaxCsrSize; not looked at yet
  bool renew = false;  // simplereenroll: for the caller's own SVID, which is there
  Caller caller;       // with an SVID, a token, or both
};

// What the authority says to everybody. Immutable once handed over.
struct Published {
  std::string roots;                        // PEM
  std::string bundle;                       // a SPIFFE bundle document
  std::uint64_t sequence = 0;               // of that
  std::map<std::string, std::string> crls;  // DER, by the SHA-256 of their issuer's key in hex
};

// Where the server has its answers from. Any I/O thread may call each; none may block, as other
// connections wait for it.
struct Handlers {
  // Answers exactly once, at once or later, on any thread, and also after the server has gone. PEM:
  // the leaf first, then its intermediates; or a Status (answer.h says which becomes what). Its
  // message reaches the caller when it is the caller's fault, and else the log alone.
  using EnrolAnswer = std::function<void(absl::StatusOr<std::string>)>;
  std::function<void(EnrolRequest, EnrolAnswer)> enrol;
  // Null: nothing can be said yet (503).
  std::function<std::shared_ptr<const Published>()> published;
  // A node has told which bundle it holds, one that is published. Nothing but its SVID speaks for
  // the number.
  std::function<void(const SpiffeId& node, std::uint64_t sequence)> acknowledged;
};

}  // namespace tombolo::ca
