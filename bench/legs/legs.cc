// SPDX-License-Identifier: Apache-2.0
// Which way of moving bytes from an application to its agent costs least? See bench/README.md.
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "redirect.h"
#include "report.h"
#include "sample.h"
#include "semantics.h"

namespace tombolo::bench {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;
constexpr int kSkipped = 77;  // ctest's SKIP_RETURN_CODE

struct Arguments {
  int rounds = 7;
  double seconds = 0.5;
  std::string only;
  std::string json;
  bool semantics = false;
};

// Nobody else's traffic, and no rule of the machine, is in the way.
absl::Status EnterNamespace() {
  if (unshare(CLONE_NEWNET) != 0) return ErrnoStatus(errno, "make a network namespace");
  const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return ErrnoStatus(errno, "bring lo up");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Row>> Measure(const Kernel& kernel, const Arguments& arguments) {
  std::vector<Row> rows;
  for (Load load : AllLoads()) {
    load.duration = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(arguments.seconds));
    if (absl::StrContains(load.ToString(), arguments.only)) rows.push_back({load, {}});
  }
  if (rows.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--only: no load's name contains '", arguments.only, "'"));
  }
  std::array<Way, std::size(kWays)> ways{};
  std::copy(std::begin(kWays), std::end(kWays), ways.begin());
  for (int round = 0; round < arguments.rounds; ++round) {
    for (Row& row : rows) {
      for (const Way way : ways) {
        if (!row.load.has(way)) continue;
        ASSIGN_OR_RETURN(Sample sample, TakeSample(row.load, way, kernel));
        row.samples[way].push_back(sample);
      }
    }
    // Another one first in each round.
    std::rotate(ways.begin(), ways.begin() + 1, ways.end());
    std::fprintf(stderr, "legs: round %d of %d\n", round + 1, arguments.rounds);
  }
  return rows;
}

absl::Status Run(const Kernel& kernel, const Arguments& arguments) {
  if (arguments.semantics) {
    ASSIGN_OR_RETURN(const auto redirect, FindSemantics(*kernel.unbounded));
    std::puts(Table("redirected", redirect).c_str());
    ASSIGN_OR_RETURN(const auto verdict, FindSemantics(*kernel.verdict));
    std::fputs(Table("sent on by a verdict", verdict).c_str(), stdout);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto rows, Measure(kernel, arguments));
  std::fputs(Table(rows).c_str(), stdout);
  if (arguments.json.empty()) return absl::OkStatus();
  std::ofstream file(arguments.json);
  file << Json(rows);
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("cannot write ", arguments.json));
}

absl::StatusOr<Kernel> Prepare() {
  signal(SIGPIPE, SIG_IGN);  // splice(2) has no flag against it
  RETURN_IF_ERROR(EnterNamespace());
  Kernel kernel;
  ASSIGN_OR_RETURN(kernel.unbounded, Redirect::Load(0));
  ASSIGN_OR_RETURN(kernel.bounded, Redirect::Load(kQueueLimit));
  ASSIGN_OR_RETURN(kernel.verdict, Verdict::Load());
  return kernel;
}

void Declare(CLI::App& app, Arguments& arguments) {
  app.add_option("--rounds", arguments.rounds, "of every load and way")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "of every load")
      ->check(CLI::Range(0.01, 600.0))
      ->capture_default_str();
  app.add_option("--only", arguments.only, "loads whose name contains this");
  app.add_option("--json", arguments.json, "medians and spread, into this file");
  app.add_flag("--semantics", arguments.semantics,
               "instead: what is seen of a redirect and of a verdict, beside TCP");
}

}  // namespace
}  // namespace tombolo::bench

// NOLINTNEXTLINE(bugprone-exception-escape): only what nobody can handle, such as no memory
int main(int argc, char** argv) {
  using namespace tombolo::bench;  // NOLINT(google-build-using-namespace)
  CLI::App app("Compares ways from an application to its agent.", "tombolo-bench-legs");
  Arguments arguments;
  Declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const auto kernel = Prepare();
  if (!kernel.ok()) {
    std::fprintf(stderr, "this machine cannot run it: %s\n",
                 std::string(kernel.status().message()).c_str());
    const char* no_skip = std::getenv("TOMBOLO_NO_SKIP");
    return no_skip != nullptr && std::strcmp(no_skip, "1") == 0 ? kError : kSkipped;
  }
  const absl::Status status = Run(*kernel, arguments);
  if (status.ok()) return 0;
  std::fprintf(stderr, "tombolo-bench-legs: %s\n", std::string(status.message()).c_str());
  return kError;
}
