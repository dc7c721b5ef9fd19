// SPDX-License-Identifier: Apache-2.0
// tombolo-ca: the certificate authority, as a server and as a command.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/strings/str_split.h"
#include "command/commands.h"

namespace tombolo::ca {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Tombolo's certificate authority", "tombolo-ca");
  app.require_subcommand(1);
  app.set_version_flag("--version", TOMBOLO_VERSION);
  Action action;
  AddInit(app, action);
  AddServe(app, action);
  AddClusters(app, action);
  AddTokens(app, action);
  AddCertificates(app, action);
  AddRevoke(app, action);
  AddRoots(app, action);
  AddIntermediates(app, action);
  AddFederation(app, action);
  AddAudit(app, action);
  AddIssue(app, action);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = action();
  if (status.ok()) return EXIT_SUCCESS;
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    std::fprintf(stderr, "tombolo-ca: %s\n", std::string(line).c_str());
  }
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace tombolo::ca

int main(int argc, char** argv) { return tombolo::ca::Main(argc, argv); }
