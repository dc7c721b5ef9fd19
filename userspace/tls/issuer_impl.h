// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "tls/issuer.h"
#include "tls/openssl.h"

// Internal to tls.
namespace tombolo::tls {

struct Issuer::Impl {
  X509Ptr certificate;
  SigningKey key;
  std::string trust_domain;
  std::optional<std::string> cluster;
  WallTime not_after{};
  std::string pem{}, chain{};
};

// What the subject of an intermediate calls its cluster by.
absl::Status CheckClusterName(absl::string_view trust_domain, absl::string_view cluster);

}  // namespace tombolo::tls
