// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tls/trust_bundle.h"

namespace tombolo::tls {

// A trust bundle made ready to verify with, once for everybody who verifies with it. A bundle may
// be megabytes. Immutable; any thread may share it.
class TrustAnchors {
 public:
  // Of a text as ParseTrustBundle() takes it, or of what it has made of one. `name` is the file or
  // URL that errors mention.
  static absl::StatusOr<std::shared_ptr<const TrustAnchors>> Parse(absl::string_view text,
                                                                   absl::string_view trust_domain,
                                                                   std::string name);
  static absl::StatusOr<std::shared_ptr<const TrustAnchors>> Of(TrustBundle bundle,
                                                                std::string name);
  ~TrustAnchors();

  const TrustBundle& bundle() const { return bundle_; }
  const std::string& name() const { return name_; }

  struct Impl;  // OpenSSL's objects
  const Impl& impl() const { return *impl_; }

 private:
  TrustAnchors(TrustBundle bundle, std::string name, std::unique_ptr<Impl> impl);

  const TrustBundle bundle_;
  const std::string name_;
  const std::unique_ptr<Impl> impl_;
};

using TrustAnchorsPtr = std::shared_ptr<const TrustAnchors>;

}  // namespace tombolo::tls
