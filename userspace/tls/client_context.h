// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/blocking_stream.h"
#include "base/time.h"

namespace tombolo::tls {

// TLS 1.2 or 1.3 as the client of a server outside the mesh: a server that some
// other authority vouches for, by its host name. Immutable; any thread may share
// it, and streams keep what they need of it.
class ClientContext {
 public:
  // PEM texts: whom the server's certificate must lead to, and this client's own
  // chain and key, both or neither. The names are the files that errors mention.
  struct Pem {
    std::string roots{}, chain{}, key{};
    std::string roots_name{}, chain_name{}, key_name{};
    bool system_roots = false;  // those that this machine trusts, instead of `roots`
  };
  static absl::StatusOr<std::shared_ptr<const ClientContext>> FromPem(const Pem& pem);
  ~ClientContext();

  // Shakes hands over `below`. The server's certificate must be for `host`, a name
  // or a numeric address: PermissionDenied when it is not, or nobody known vouches
  // for it. Unavailable, DeadlineExceeded.
  absl::StatusOr<std::unique_ptr<BlockingStream>> Connect(std::unique_ptr<BlockingStream> below,
                                                          const std::string& host,
                                                          MonotonicTime deadline) const;

 private:
  struct Impl;  // OpenSSL's objects
  explicit ClientContext(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::tls
