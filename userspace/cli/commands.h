// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"

// What an administrator does with the directory in etcd, from anywhere.
namespace tombolo::cli {

// What the command line asks for, and what it prints: set while the line is read, and run
// afterwards.
using Action = std::function<absl::StatusOr<std::string>()>;

void AddDirectory(CLI::App& app, Action& action);   // directory init
void AddClusters(CLI::App& app, Action& action);    // cluster list, join, drain, undrain, remove
void AddNamespaces(CLI::App& app, Action& action);  // namespace list, grant, revoke

}  // namespace tombolo::cli
