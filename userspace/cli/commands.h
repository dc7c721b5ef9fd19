// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"

// The commands beside the nouns.
namespace tombolo::cli {

// What the command line asks for, and what it prints: set while the line is read, and run
// afterwards.
using Action = std::function<absl::StatusOr<std::string>()>;

// Of every command that asks the agent.
struct AgentOptions {
  std::string socket = "/run/tombolo/agent.sock";
  std::string output = "table";  // or json
};
// `agent` is read when the action runs, and outlives it.
void AddExplain(CLI::App& app, const AgentOptions& agent, Action& action);

// What an administrator does with the directory in etcd, from anywhere.
void AddDirectory(CLI::App& app, Action& action);  // directory init
// cluster list, join, drain, undrain, remove; of `shown`, `output` counts.
void AddClusters(CLI::App& app, const AgentOptions& shown, Action& action);
void AddNamespaces(CLI::App& app, Action& action);  // namespace list, grant, revoke

}  // namespace tombolo::cli
