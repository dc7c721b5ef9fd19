// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/resource.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <google/protobuf/stubs/logging.h>

#include "absl/strings/str_split.h"
#include "agent/agent.h"
#include "agent/agent_directory.h"
#include "agent/gateway_agent.h"
#include "agent/issuance_options.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "source/agent_config.h"
#include "source/directory_file.h"

namespace tombolo::agent {
namespace {

// Every connection costs two descriptors.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int Fail(const absl::Status& status) {
  for (const auto line : absl::StrSplit(status.message(), '\n')) {
    std::cerr << "tombolo-agent: " << line << "\n";
  }
  return EXIT_FAILURE;
}

// Their files are there and good; an authority is not asked.
absl::Status CheckIdentities(const source::AgentConfig& config, const mesh::Snapshot& snapshot) {
  if (config.identity.authority) {
    RETURN_IF_ERROR(CheckTrustDomain(config, snapshot));
    return identity::Check(IssuanceOptions(config));
  }
  const auto identities = identity::Store::Load({config.identity.svids, config.identity.bundle},
                                                snapshot, config.cluster, config.node, nullptr);
  for (const auto& [id, entry] : identities->entries()) RETURN_IF_ERROR(entry.error);
  return absl::OkStatus();
}

// The same of a gateway's own, where it has one.
absl::Status CheckIdentity(const source::AgentConfig& config, const mesh::Snapshot& snapshot) {
  if (config.identity.authority) {
    RETURN_IF_ERROR(CheckTrustDomain(config, snapshot));
    return identity::Check(IssuanceOptions(config));
  }
  if (!config.identity.configured()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const SpiffeId id,
                   SpiffeId::ForGateway(snapshot.trust_domain, config.cluster, config.node));
  return identity::Store::LoadOne(config.identity.svid, config.identity.bundle, id, nullptr)
      ->entries()
      .at(id)
      .error;
}

absl::Status CheckGateway(const source::AgentConfig& config, const mesh::Snapshot& snapshot) {
  RETURN_IF_ERROR(CheckIdentity(config, snapshot));
  const mesh::Cluster* cluster = snapshot.FindCluster(config.cluster);
  if (cluster != nullptr) {
    for (const mesh::Gateway& gateway : cluster->gateways) {
      if (gateway.name != config.node) continue;
      std::cout << "configuration is valid: " << snapshot.services.size() << " services, "
                << cluster->nodes.size() << " nodes behind this gateway\n";
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      config.directory, ": has no gateway '", config.node, "' in cluster '", config.cluster, "'"));
}

absl::Status Check(const std::string& config_path, std::optional<source::Role> role) {
  ASSIGN_OR_RETURN(const source::AgentConfig config, source::LoadAgentConfig(config_path, role));
  ASSIGN_OR_RETURN(const auto snapshot, source::LoadDirectory(config.directory, config.cluster));
  if (config.role == source::Role::kGateway) return CheckGateway(config, *snapshot);
  if (snapshot->FindNode(config.cluster, config.node) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(config.directory, ": has no node '", config.node,
                                                   "' in cluster '", config.cluster, "'"));
  }
  RETURN_IF_ERROR(CheckIdentities(config, *snapshot));
  if (config.shared_directory) RETURN_IF_ERROR(SubscriberOptions(config, false).status());
  std::cout << "configuration is valid: " << snapshot->services.size() << " services, "
            << snapshot->workloads.size() << " workloads, "
            << snapshot->IdentitiesOn(config.cluster, config.node).size()
            << " identities on this node\n";
  return absl::OkStatus();
}

template <typename AnyAgent>
Awaitable<void> HandleSignals(asio::io_context& io, AnyAgent& agent) {
  asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
  for (;;) {
    auto [error, signal] = co_await signals.async_wait(kUseTuple);
    if (error) co_return;
    if (signal == SIGHUP) {
      agent.Reload();
    } else {
      agent.Stop();
    }
  }
}

template <typename AnyAgent>
int RunToEnd(const std::string& config_path, source::AgentConfig config) {
  asio::io_context io(1);
  absl::StatusOr<std::unique_ptr<AnyAgent>> agent =
      AnyAgent::Start(io, config_path, std::move(config));
  if (!agent.ok()) return Fail(agent.status());
  asio::co_spawn(io, HandleSignals(io, **agent), [](std::exception_ptr) {});
  asio::co_spawn(io, (*agent)->Run(), [&io](std::exception_ptr error) {
    io.stop();
    if (error) std::rethrow_exception(error);
  });
  io.run();
  return EXIT_SUCCESS;
}

// `relay` overrides the file's key; empty: it does not. So does `role`.
int Serve(const std::string& config_path, const std::string& relay,
          std::optional<source::Role> role) {
  absl::StatusOr<source::AgentConfig> config = source::LoadAgentConfig(config_path, role);
  if (!config.ok()) return Fail(config.status());
  if (!relay.empty()) {
    config->relay = *source::ParseRelayMode(relay);
    config->relay_overridden = true;
  }
  log::SetUp(config->log.level, config->log.format);
  RaiseDescriptorLimit();
  // OpenSSL and splice() write without MSG_NOSIGNAL.
  signal(SIGPIPE, SIG_IGN);
  if (config->role == source::Role::kGateway) {
    return RunToEnd<GatewayAgent>(config_path, *std::move(config));
  }
  return RunToEnd<Agent>(config_path, *std::move(config));
}

int Main(int argc, char** argv) {
  // A peer's malformed message must not write to our standard error, past our log.
  google::protobuf::SetLogHandler(nullptr);
  CLI::App app(
      "Tombolo's node agent: captures, encrypts and carries the connections of the "
      "workloads on this node. Or, as a gateway, takes tunnels across its cluster's edge.");
  std::string config_path = "/etc/tombolo/agent.yaml";
  bool check = false;
  app.add_option("--config", config_path, "the node's configuration file")->capture_default_str();
  app.add_flag("--check", check, "validate the configuration, directory and SVIDs, and exit");
  std::string relay;
  app.add_option("--relay", relay, "where records are sealed, instead of the file's 'relay'")
      ->check(CLI::IsMember({"auto", "kernel", "user"}));
  std::string role_name;
  app.add_option("--role", role_name, "what to be, instead of the file's 'role'")
      ->check(CLI::IsMember({"node", "gateway"}));
  app.set_version_flag("--version", TOMBOLO_VERSION);
  CLI11_PARSE(app, argc, argv);
  std::optional<source::Role> role;
  if (!role_name.empty()) role = *source::ParseRole(role_name);
  if (!check) return Serve(config_path, relay, role);
  const absl::Status status = Check(config_path, role);
  return status.ok() ? EXIT_SUCCESS : Fail(status);
}

}  // namespace
}  // namespace tombolo::agent

int main(int argc, char** argv) { return tombolo::agent::Main(argc, argv); }
