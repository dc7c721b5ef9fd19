// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "identity/est_client.h"

namespace tombolo::bench {

// What an authority knows a node's agent by, all made ahead: its requests cost the load nothing.
struct Agent {
  identity::HttpsContextPtr context;  // presents its SVID; without one when it joins
  std::string csr;                    // DER, by another key than the SVID's
  std::string token;                  // to join; empty: it renews
};

// Who asks for certificates, and whom.
struct Agents {
  net::HttpsUrl authority;
  std::vector<Agent> agents;
};

// `count` nodes of cluster east, which the authority of a ca.yaml signs for: its key signs the
// SVIDs of those that renew, and its ledger gets a token for each that joins.
absl::StatusOr<Agents> MakeAgents(const std::string& config, std::size_t count, bool join);

// One attempt of an agent: a certificate whose key and name somebody has read.
Awaitable<absl::Status> Attempt(identity::EstClient& client, const Agent& agent);

std::unique_ptr<identity::EstClient> NewClient(asio::io_context& io, const Agents& agents);

}  // namespace tombolo::bench
