// SPDX-License-Identifier: Apache-2.0
// tombolo explain: what would become of a connection, or why one went where it is.
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

namespace tombolo::cli {
namespace {

struct ExplainOptions {
  std::string workload, to, client, connection;
};

absl::StatusOr<std::string> Path(const ExplainOptions& options) {
  if (!options.connection.empty()) {
    return absl::StrCat("/v1/explain?connection=", options.connection);
  }
  if (options.to.empty()) {
    return absl::InvalidArgumentError(
        "say a workload and where it connects to, or --connection and an id");
  }
  std::string path = absl::StrCat("/v1/explain?workload=", options.workload, "&to=", options.to);
  if (!options.client.empty()) absl::StrAppend(&path, "&client=", options.client);
  return path;
}

absl::StatusOr<std::string> Explain(const AgentOptions& agent, const ExplainOptions& options) {
  ASSIGN_OR_RETURN(const std::string path, Path(options));
  ASSIGN_OR_RETURN(std::string answer, Get(agent.socket, path, kAgentTimeout));
  if (agent.output == "json") return answer;
  return RenderExplanation(answer);
}

}  // namespace

void AddExplain(CLI::App& app, const AgentOptions& agent, Action& action) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* explain = app.add_subcommand(
      "explain", "what would become of a connection now, or why one went where it is");
  explain->fallthrough();
  explain->add_option("WORKLOAD", options->workload, "that connects: one of this node");
  explain->add_option("DESTINATION", options->to,
                      "10.96.0.10:80, [fd00:96::10]:80 or namespace/service:80");
  explain->add_option(
      "--client", options->client,
      "the address that the application has bound, which decides with affinity by source");
  explain->add_option("--connection", options->connection, "id of one that runs now")
      ->excludes("WORKLOAD");
  explain->callback([&agent, options, &action] {
    action = [&agent, options] { return Explain(agent, *options); };
  });
}

}  // namespace tombolo::cli
