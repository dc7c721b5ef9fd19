// SPDX-License-Identifier: Apache-2.0
#include "identity/options.h"

#include <filesystem>
#include <random>
#include <system_error>

#include "base/files.h"
#include "base/status_macros.h"
#include "tls/trust_bundle.h"

namespace tombolo::identity {

absl::Status Check(const Options& options) {
  ASSIGN_OR_RETURN(const std::string trust, ReadFile(options.trust, tls::kMaxTrustBundleSize));
  RETURN_IF_ERROR(tls::ParseTrustBundle(trust, options.trust_domain, options.trust).status());
  // A node that has enrolled needs its join token no more.
  std::error_code ignored;
  if (!options.state.empty() && std::filesystem::exists(NodeFile(options), ignored)) {
    return absl::OkStatus();
  }
  const bool joins = !options.join_token.empty();
  return ReadToken(joins ? options.join_token : options.service_account_token).status();
}

double RandomJitter(const Options& options) {
  if (options.jitter) return options.jitter();
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(-1, 1)(engine);
}

std::string NodeFile(const Options& options) { return options.state + "/node.pem"; }

std::string KeyFile(const Options& options) { return options.state + "/node.key"; }

std::string BundleFile(const Options& options) { return options.state + "/bundle.json"; }

std::string SvidDirectory(const Options& options) { return options.state + "/svids"; }

std::string OriginFile(const Options& options) { return options.state + "/trust.sha256"; }

}  // namespace tombolo::identity
