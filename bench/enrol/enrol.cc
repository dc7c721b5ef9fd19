// SPDX-License-Identifier: Apache-2.0
// Asks a certificate authority for certificates, and measures it. It makes its nodes itself, with
// the authority's own keys and store, and shares nothing else with it.
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "enrol/closed_loop.h"
#include "enrol/fleet.h"
#include "latency_json.h"
#include "ready.h"

namespace tombolo::bench {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string config;
  std::size_t agents = 1;
  bool join = false;
  double seconds = 0;
  LoopOptions loop;
  FleetOptions fleet;
};

Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

double ToSeconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

absl::Status RunLoopAndPrint(Arguments& arguments) {
  const std::size_t count = arguments.join ? arguments.agents : arguments.loop.workers;
  ASSIGN_OR_RETURN(const Agents agents, MakeAgents(arguments.config, count, arguments.join));
  arguments.loop.duration = ToDuration(arguments.seconds);
  arguments.loop.prepared = SayReadyAndWaitForLine;
  ASSIGN_OR_RETURN(const LoopResult result, RunLoop(agents, arguments.loop));
  const std::uint64_t issued = result.latency.count();
  const double seconds = ToSeconds(result.elapsed);
  absl::PrintF(R"({"seconds":%.6f,"issued":%d,"per_second":%.1f,"latency_us":%s})"
               "\n",
               seconds, issued, static_cast<double>(issued) / seconds, LatencyJson(result.latency));
  return absl::OkStatus();
}

absl::Status RunFleetAndPrint(Arguments& arguments) {
  ASSIGN_OR_RETURN(const Agents agents,
                   MakeAgents(arguments.config, arguments.agents, /*join=*/false));
  arguments.fleet.window = ToDuration(arguments.seconds);
  arguments.fleet.prepared = SayReadyAndWaitForLine;
  ASSIGN_OR_RETURN(const FleetResult result, RunFleet(agents, arguments.fleet));
  absl::PrintF(R"({"seconds":%.6f,"issued":%d,"retries":%d,"latency_us":%s,"served_us":%s})"
               "\n",
               ToSeconds(result.elapsed), result.served.count(), result.retries,
               LatencyJson(result.request), LatencyJson(result.served));
  return absl::OkStatus();
}

// A descriptor for every agent.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void DeclareLoop(CLI::App& loop, Arguments& arguments) {
  loop.add_option("--workers", arguments.loop.workers, "at once")->check(CLI::Range(1, 256));
  loop.add_option("--seconds", arguments.seconds, "how long")->check(CLI::Range(0.01, 3600.0));
  loop.add_flag("--keep", arguments.loop.keep, "connections");
  loop.add_flag("--join", arguments.join, "by token, not by SVID");
  loop.add_option("--tokens", arguments.agents, "with --join: as many certificates at most")
      ->check(CLI::Range(1, 1000000));
}

void DeclareFleet(CLI::App& fleet, Arguments& arguments) {
  fleet.add_option("--agents", arguments.agents, "how many")->check(CLI::Range(1, 100000));
  fleet.add_option("--window", arguments.seconds, "seconds in which all are due; 0: all at once")
      ->check(CLI::Range(0.0, 3600.0));
}

}  // namespace
}  // namespace tombolo::bench

// NOLINTNEXTLINE(bugprone-exception-escape): only what nobody can handle, such as no memory
int main(int argc, char** argv) {
  using namespace tombolo::bench;  // NOLINT(google-build-using-namespace)
  CLI::App app("Asks an authority for certificates. Says ready, waits for a line, prints JSON.",
               "tombolo-bench-enrol");
  app.require_subcommand(1);
  Arguments arguments;
  app.add_option("--config", arguments.config, "the authority's ca.yaml")->required();
  CLI::App* const loop = app.add_subcommand("loop", "as many as it gives");
  DeclareLoop(*loop, arguments);
  DeclareFleet(*app.add_subcommand("fleet", "agents that renew once each"), arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  RaiseDescriptorLimit();
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  const absl::Status status =
      loop->parsed() ? RunLoopAndPrint(arguments) : RunFleetAndPrint(arguments);
  if (status.ok()) return 0;
  std::fprintf(stderr, "tombolo-bench-enrol: %s\n", std::string(status.message()).c_str());
  return kError;
}
