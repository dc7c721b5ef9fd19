// SPDX-License-Identifier: Apache-2.0
// Makes load: a TCP server (sink, source, echo) and a client that measures it.
// The client knows nothing of what lies between the two.
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "latency_json.h"
#include "load_client.h"
#include "load_server.h"
#include "net/socket.h"
#include "ready.h"

namespace tombolo::bench {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

const std::map<std::string, ServerMode> kServerModes = {
    {"sink", ServerMode::kSink}, {"source", ServerMode::kSource}, {"echo", ServerMode::kEcho}};
const std::map<std::string, ClientMode> kClientModes = {{"upload", ClientMode::kUpload},
                                                        {"download", ClientMode::kDownload},
                                                        {"requests", ClientMode::kRequests},
                                                        {"connects", ClientMode::kConnects}};

struct Arguments {
  std::string listen;
  ServerOptions server{.threads =
                           static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
  std::string preamble;  // a file
  std::string to;
  double seconds = 2;
  bool wait = false;
  ClientOptions client;
};

absl::StatusOr<std::string> ReadPreamble(const Arguments& arguments) {
  if (arguments.preamble.empty()) return "";
  std::ifstream file(arguments.preamble, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (file && !content.empty()) return content;
  return absl::NotFoundError(absl::StrCat("--preamble ", arguments.preamble, ": nothing to read"));
}

absl::Status RunServer(Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto address, net::SocketAddress::Parse(arguments.listen));
  ASSIGN_OR_RETURN(const Fd listener, net::Listen(address, SOMAXCONN));
  ASSIGN_OR_RETURN(arguments.server.preamble, ReadPreamble(arguments));
  std::puts("ready");
  std::fflush(stdout);
  return Serve(listener, arguments.server);
}

std::string ToJson(const ClientOptions& options, const ClientResult& result) {
  const double seconds = std::chrono::duration<double>(result.elapsed).count();
  if (options.mode == ClientMode::kUpload || options.mode == ClientMode::kDownload) {
    return absl::StrFormat(
        R"({"connections":%d,"seconds":%.6f,"bytes":%d,"bytes_per_second":%.0f})",
        options.connections, seconds, result.bytes, static_cast<double>(result.bytes) / seconds);
  }
  const std::uint64_t count = result.latency.count();
  return absl::StrFormat(
      R"({"connections":%d,"seconds":%.6f,"operations":%d,"operations_per_second":%.1f,)"
      R"("latency_us":%s})",
      options.connections, seconds, count, static_cast<double>(count) / seconds,
      LatencyJson(result.latency));
}

absl::Status RunClientAndPrint(Arguments& arguments) {
  ASSIGN_OR_RETURN(arguments.client.server, net::SocketAddress::Parse(arguments.to));
  ASSIGN_OR_RETURN(arguments.client.preamble, ReadPreamble(arguments));
  arguments.client.duration = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(arguments.seconds));
  if (arguments.wait) arguments.client.prepared = SayReadyAndWaitForLine;
  ASSIGN_OR_RETURN(const ClientResult result, RunClient(arguments.client));
  std::puts(ToJson(arguments.client, result).c_str());
  return absl::OkStatus();
}

void DeclareServer(CLI::App& server, Arguments& arguments) {
  server.add_option("--mode", arguments.server.mode, "sink, source or echo")
      ->required()
      ->transform(CLI::CheckedTransformer(kServerModes));
  server.add_option("--listen", arguments.listen, "address:port")->required();
  server.add_option("--threads", arguments.server.threads, "one per core unless given")
      ->check(CLI::Range(1, 1024));
  server.add_option("--preamble", arguments.preamble,
                    "a file that every connection begins with: read away, and compared");
}

void DeclareClient(CLI::App& client, Arguments& arguments) {
  ClientOptions& options = arguments.client;
  client.add_option("--mode", options.mode, "upload, download, requests or connects")
      ->required()
      ->transform(CLI::CheckedTransformer(kClientModes));
  client.add_option("--to", arguments.to, "address:port")->required();
  client.add_option("--connections", options.connections, "at once, with a thread each")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  client.add_option("--seconds", arguments.seconds, "how long")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  client.add_flag("--wait", arguments.wait,
                  "says ready when all connections are there, and starts when a line comes");
  client.add_option("--bytes", options.bytes,
                    "upload, download: on each connection, instead of --seconds");
  client.add_option("--size", options.size, "requests, connects: bytes of request and response")
      ->check(CLI::Range(1, 1 << 26))
      ->capture_default_str();
  client.add_option("--preamble", arguments.preamble,
                    "a file that every connection sends first, such as a ClientHello");
  client.add_option("--chunk", options.chunk, "upload, download: bytes of one write or read")
      ->check(CLI::Range(1, 1 << 26))
      ->capture_default_str();
}

}  // namespace
}  // namespace tombolo::bench

// NOLINTNEXTLINE(bugprone-exception-escape): only what nobody can handle, such as no memory
int main(int argc, char** argv) {
  using namespace tombolo::bench;  // NOLINT(google-build-using-namespace)
  CLI::App app("Makes load, and measures it.", "tombolo-bench-load");
  app.require_subcommand(1);
  Arguments arguments;
  CLI::App* server = app.add_subcommand("server", "serves until it is killed; prints ready");
  DeclareServer(*server, arguments);
  DeclareClient(*app.add_subcommand("client", "prints one JSON object"), arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const absl::Status status =
      server->parsed() ? RunServer(arguments) : RunClientAndPrint(arguments);
  if (status.ok()) return 0;
  std::fprintf(stderr, "tombolo-bench-load: %s\n", std::string(status.message()).c_str());
  return kError;
}
