// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "identity/est_client.h"
#include "identity/schedule.h"
#include "net/https_url.h"

namespace tombolo::identity {

// How a node gets its identities from an authority (docs/configuration.md, identity.authority).
struct Options {
  std::string cluster, node;
  bool gateway = false;  // `node` is a gateway's name: its own identity is all that it has
  std::string trust_domain;
  std::vector<net::HttpsUrl> urls;  // tried in turn
  std::string trust;                // file: what the first connection is checked against
  // Files, read at each attempt. One of them is set.
  std::string join_token{}, service_account_token{};
  std::string state{};          // directory; empty: nothing survives a restart
  bool keep_workloads = false;  // in `state`, too; otherwise their keys are in memory only

  // Others than the defaults are for tests.
  Pace pace{};
  EstClient::Deadlines deadlines{};
  std::chrono::seconds poll{50};  // how long the authority may hold the request for the next bundle
  // A node without an SVID looks for another bundle at least as often.
  Duration public_poll = std::chrono::seconds(30);
  std::function<double()> jitter{};  // from -1 to 1; not set: random
};

// What can be known before anybody is asked: the files are there and can be read.
absl::Status Check(const Options& options);

// What spreads the times of many nodes: a number from -1 to 1. Any thread.
double RandomJitter(const Options& options);

// Where an Options' state is.
std::string NodeFile(const Options& options);       // key and SVID
std::string KeyFile(const Options& options);        // the key of a request with a token
std::string BundleFile(const Options& options);     // the authority's last trust bundle
std::string SvidDirectory(const Options& options);  // the workloads' keys and SVIDs, if kept
std::string OriginFile(const Options& options);     // SHA-256 (hex) of `trust` when that came

}  // namespace tombolo::identity
