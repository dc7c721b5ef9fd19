// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "identity/options.h"
#include "mesh/snapshot.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// Of a configuration that has an identity.authority.
identity::Options IssuanceOptions(const source::AgentConfig& config);

// FailedPrecondition when the directory is of another trust domain than that authority. An agent
// with files has none to compare.
absl::Status CheckTrustDomain(const source::AgentConfig& config, const mesh::Snapshot& snapshot);

}  // namespace tombolo::agent
