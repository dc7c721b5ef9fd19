// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "command/context.h"

// The commands of tombolo-ca: nouns read, verbs change. Each adds itself to the program and sets
// `action` when the command line asks for it.
namespace tombolo::ca {

void AddInit(CLI::App& app, Action& action);
void AddIssue(CLI::App& app, Action& action);
void AddClusters(CLI::App& app, Action& action);       // cluster add, cluster list
void AddIntermediates(CLI::App& app, Action& action);  // csr, install
void AddTokens(CLI::App& app, Action& action);         // token add, list, remove
void AddCertificates(CLI::App& app, Action& action);   // list, show
void AddRevoke(CLI::App& app, Action& action);         // revoke
void AddAudit(CLI::App& app, Action& action);          // audit verify, show
void AddRoots(CLI::App& app, Action& action);          // root prepare ... status
void AddRootExport(CLI::App& root, Action& action);    // root export, which AddRoots() adds
void AddFederation(CLI::App& app, Action& action);     // federate add, remove, list
void AddServe(CLI::App& app, Action& action);

}  // namespace tombolo::ca
