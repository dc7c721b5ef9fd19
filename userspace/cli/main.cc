// SPDX-License-Identifier: Apache-2.0
// The tombolo command: reads the state of a running agent, and changes the directory in etcd.
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

struct Arguments {
  tombolo::cli::AgentOptions agent;
  std::string noun;
  tombolo::cli::Action action;  // what a command wants; none: show the noun
};

absl::StatusOr<std::string> Answer(const Arguments& arguments) {
  if (arguments.action) return arguments.action();
  ASSIGN_OR_RETURN(std::string json,
                   tombolo::cli::Get(arguments.agent.socket, "/v1/" + arguments.noun,
                                     tombolo::cli::kAgentTimeout));
  if (arguments.agent.output == "json") return json;
  return tombolo::cli::Render(arguments.noun, json, absl::Now());
}

int Print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    std::perror("tombolo: write standard output");
    return kError;
  }
  return 0;
}

void Declare(CLI::App& app, Arguments& arguments) {
  app.set_version_flag("--version", "tombolo " TOMBOLO_VERSION);
  app.add_option("--socket", arguments.agent.socket, "the agent's admin socket")
      ->capture_default_str();
  app.add_option("-o,--output", arguments.agent.output, "table, or json as the agent gives it")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  std::vector<std::string> names;
  std::string footer = "Nouns:";
  for (const auto& noun : tombolo::cli::Nouns()) {
    names.emplace_back(noun.name);
    absl::StrAppendFormat(&footer, "\n  %-13s %s", noun.name, noun.help);
  }
  app.add_option("noun", arguments.noun, "what to show")->check(CLI::IsMember(names));
  app.footer(footer);
  app.require_subcommand(0, 1);
  tombolo::cli::AddExplain(app, arguments.agent, arguments.action);
  tombolo::cli::AddDirectory(app, arguments.action);
  tombolo::cli::AddClusters(app, arguments.agent, arguments.action);
  tombolo::cli::AddNamespaces(app, arguments.action);
  app.final_callback([&arguments] {
    if (arguments.noun.empty() == !arguments.action)
      throw CLI::RequiredError("a noun or a command");
  });
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): only what nobody can handle, such as no memory
int main(int argc, char** argv) {
  CLI::App app("Shows what the Tombolo agent on this node does, and administers the directory.",
               "tombolo");
  Arguments arguments;
  Declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const auto answer = Answer(arguments);
  if (!answer.ok()) {
    std::fprintf(stderr, "tombolo: %s\n", std::string(answer.status().message()).c_str());
    return kError;
  }
  return Print(*answer);
}
