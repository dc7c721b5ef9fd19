// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "base/time.h"
#include "net/address.h"
#include "net/https_url.h"
#include "source/agent_modes.h"

namespace tombolo::source {

// One node's or gateway's agent.yaml (docs/configuration.md). Paths are complete: relative
// ones have been resolved against the file's directory.
struct AgentConfig {
  // Where the node gets its identities from, over HTTPS.
  struct Authority {
    std::vector<net::HttpsUrl> urls;  // tried in turn
    std::string trust_domain;
    std::string trust;                              // what the first connection is checked against
    std::string join_token, service_account_token;  // one of them is set
    std::string state;                              // directory; empty: nothing is kept
    bool keep_workloads = false;                    // there, too
    friend bool operator==(const Authority&, const Authority&) = default;
  };
  // Either files or an authority.
  struct Identity {
    std::string svids;   // <svids>/<namespace>/<service-account>/{svid,key}.pem
    std::string bundle;  // the trust domain's roots
    std::optional<Authority> authority;
    std::string svid;  // instead of `svids`, a gateway's own: <svid>/{svid,key}.pem
    bool configured() const { return authority.has_value() || !bundle.empty(); }
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  // Where other clusters say what they serve: an etcd cluster.
  struct SharedDirectory {
    std::vector<std::string> endpoints;  // URLs; judged by those who connect
    std::string prefix = "/tombolo-directory/";
    std::string ca, certificate, key;  // PEM files; empty: none
    std::string user, password;        // of etcd; the password is a file
    std::string state;                 // directory; empty: nothing is kept
    friend bool operator==(const SharedDirectory&, const SharedDirectory&) = default;
  };
  struct Capture {
    std::string cgroup = "/";
    std::uint16_t port = 15001;
    std::vector<net::Prefix> protected_ranges;
    std::uint32_t max_services = 65536;
    std::uint32_t max_workloads = 4096;
    std::uint32_t max_pending = 65536;
    std::uint32_t max_pending_per_workload = 8192;
    std::uint32_t max_allowed = 262144;  // pairs of a workload and a service port
    friend bool operator==(const Capture&, const Capture&) = default;
  };
  struct Tunnel {
    net::SocketAddress listen;
    friend bool operator==(const Tunnel&, const Tunnel&) = default;
  };
  struct Gateway {
    net::SocketAddress listen;
    friend bool operator==(const Gateway&, const Gateway&) = default;
  };
  // A cluster to whose gateways this one keeps a link each, because nobody can dial this one.
  struct Link {
    std::string cluster;
    friend bool operator==(const Link&, const Link&) = default;
  };
  struct Admin {
    std::string socket = "/run/tombolo/agent.sock";
    std::optional<net::SocketAddress> listen;  // none: turned off
    friend bool operator==(const Admin&, const Admin&) = default;
  };
  struct Deadlines {
    Duration handshake = std::chrono::seconds(5);
    Duration dial = std::chrono::seconds(5);
    Duration dial_delay = std::chrono::milliseconds(250);  // at least; then another way beside it
    Duration connect = std::chrono::seconds(10);
    Duration endpoint_connect = std::chrono::seconds(3);
    Duration idle_tunnel = std::chrono::seconds(60);
    Duration ping = std::chrono::seconds(3);  // zero: idle tunnels are not asked; of links, never
    Duration drain = std::chrono::seconds(30);
    friend bool operator==(const Deadlines&, const Deadlines&) = default;
  };
  // Of tunnels that leave the cluster, to gateways or as one.
  struct Wan {
    std::string congestion_control = "auto";  // bbr where the kernel has it; "system"; or a name
    std::uint32_t max_segment = 1220;         // 0: what the interface allows
    friend bool operator==(const Wan&, const Wan&) = default;
  };
  // Of the whole node, all data threads together.
  struct Limits {
    std::uint32_t connections_per_workload = 20000;
    std::uint32_t tunnels_per_peer = 20000;
    std::uint32_t handshakes = 4096;
    std::uint32_t handshakes_per_address = 1024;
    // A gateway's.
    std::uint32_t connections = 65536;
    std::uint32_t connections_per_address = 20000;
    friend bool operator==(const Limits&, const Limits&) = default;
  };
  struct Log {
    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kText;
    friend bool operator==(const Log&, const Log&) = default;
  };

  Role role = Role::kNode;
  bool role_overridden = false;  // by --role: the file's does not count
  std::string cluster;
  std::string node;  // or the gateway's name
  std::string instance = "default";
  std::string directory;
  std::optional<SharedDirectory> shared_directory;  // none: the file says everything
  Identity identity;
  Capture capture;
  Tunnel tunnel;
  Gateway gateway;
  std::vector<Link> links;  // a gateway's
  Admin admin;
  std::uint32_t threads = 0;  // 0: one per core
  RelayMode relay = RelayMode::kAuto;
  bool relay_overridden = false;  // by --relay: the file's does not count
  SpliceMode splice = SpliceMode::kAuto;
  Deadlines deadlines;
  Wan wan;
  Limits limits;
  Log log;

  AgentConfig();  // the documented defaults
  friend bool operator==(const AgentConfig&, const AgentConfig&) = default;
};

// Reads and checks the file, for the role that it names or `role`, if that is given: what belongs
// to the other one is an error. InvalidArgument lists up to YamlErrors::kMaxErrors
// errors, one a line, each with file, line, key and value.
absl::StatusOr<AgentConfig> LoadAgentConfig(const std::string& path,
                                            std::optional<Role> role = std::nullopt);

// The keys, like "capture.port", whose new value a running agent cannot take over.
std::vector<std::string> RestartOnlyDifferences(const AgentConfig& running,
                                                const AgentConfig& wanted);

}  // namespace tombolo::source
