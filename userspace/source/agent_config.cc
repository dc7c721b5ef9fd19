// SPDX-License-Identifier: Apache-2.0
#include "source/agent_config.h"

#include <sys/un.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "source/config_values.h"
#include "source/values.h"
#include "source/yaml_reader.h"

namespace tombolo::source {
namespace {

constexpr std::uint16_t kTunnelPort = 15008;
constexpr std::uint16_t kGatewayPort = 15443;
constexpr std::uint16_t kAdminPort = 15020;
// Before the dialer gives up, who has the handshake and the answer to OPEN to wait for as well.
constexpr Duration kGatewayDial = std::chrono::seconds(3);
constexpr std::uint32_t kMaxMapEntries = 1 << 24;  // 16 million: gigabytes of kernel memory
constexpr std::uint32_t kMaxThreads = 1024;
constexpr std::size_t kMaxPrefix = 128;
constexpr std::uint32_t kMaxLimit = 1 << 24;  // more descriptors than a process can have

void ReadCapture(YamlMap map, AgentConfig::Capture& capture) {
  const auto size = [](absl::string_view text) { return ParseNumber(text, 1, kMaxMapEntries); };
  map.Optional("cgroup", capture.cgroup, ParseAbsolutePath);
  map.Optional("port", capture.port, ParsePort);
  map.List("protected_ranges", capture.protected_ranges, net::Prefix::Parse);
  map.Optional("max_services", capture.max_services, size);
  map.Optional("max_workloads", capture.max_workloads, size);
  map.Optional("max_pending", capture.max_pending, size);
  map.Optional("max_pending_per_workload", capture.max_pending_per_workload, size);
  map.Optional("max_allowed", capture.max_allowed, size);
  map.Finish();
}

void ReadAdmin(YamlMap map, const PathParser& path, AgentConfig::Admin& admin) {
  map.Optional("socket", admin.socket, path);
  if (admin.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    map.Error("socket", absl::StrCat("'", admin.socket, "' is longer than ",
                                     sizeof(sockaddr_un::sun_path) - 1,
                                     " bytes, the limit of a Unix socket's path"));
  }
  map.Optional("listen", admin.listen, ParseListenOrOff);
  map.Finish();
}

void ReadDeadlines(YamlMap map, AgentConfig::Deadlines& deadlines) {
  map.Optional("handshake", deadlines.handshake, ParseDeadline);
  map.Optional("dial", deadlines.dial, ParseDeadline);
  map.Optional("dial_delay", deadlines.dial_delay, ParseDeadline);
  map.Optional("connect", deadlines.connect, ParseDeadline);
  map.Optional("endpoint_connect", deadlines.endpoint_connect, ParseDeadline);
  map.Optional("idle_tunnel", deadlines.idle_tunnel, ParseDuration);
  map.Optional("ping", deadlines.ping, ParseDuration);
  map.Optional("drain", deadlines.drain, ParseDuration);
  // An acceptor that tries for longer has nobody left to tell.
  if (!map.Has("endpoint_connect")) {
    deadlines.endpoint_connect = std::min(deadlines.endpoint_connect, deadlines.dial);
  } else if (deadlines.endpoint_connect > deadlines.dial) {
    map.Error("endpoint_connect",
              absl::StrCat(absl::FormatDuration(absl::FromChrono(deadlines.endpoint_connect)),
                           " is longer than deadlines.dial, after which a dialer gives up: ",
                           absl::FormatDuration(absl::FromChrono(deadlines.dial))));
  }
  map.Finish();
}

constexpr std::size_t kMaxCongestionName = 15;     // TCP_CA_NAME_MAX, less its final zero
constexpr std::uint32_t kLeastSegment = 536;       // RFC 9293, section 3.7.1
constexpr std::uint32_t kGreatestSegment = 32767;  // tcp(7), TCP_MAXSEG

absl::StatusOr<std::string> ParseCongestionControl(absl::string_view text) {
  const bool right = !text.empty() && text.size() <= kMaxCongestionName &&
                     std::all_of(text.begin(), text.end(), [](char c) {
                       return absl::ascii_isalnum(c) || c == '-' || c == '_';
                     });
  if (!right) return BadValue(text, "is not auto, system or the name of a congestion control");
  return std::string(text);
}

absl::StatusOr<std::uint32_t> ParseSegment(absl::string_view text) {
  ASSIGN_OR_RETURN(const std::uint32_t size, ParseNumber(text, 0, kGreatestSegment));
  if (size != 0 && size < kLeastSegment) {
    return BadValue(text, absl::StrCat("is less than ", kLeastSegment, " and not 0"));
  }
  return size;
}

void ReadWan(YamlMap map, AgentConfig::Wan& wan) {
  map.Optional("congestion_control", wan.congestion_control, ParseCongestionControl);
  map.Optional("max_segment", wan.max_segment, ParseSegment);
  map.Finish();
}

void ReadLimits(YamlMap map, AgentConfig::Limits& limits) {
  const auto count = [](absl::string_view text) { return ParseNumber(text, 1, kMaxLimit); };
  map.Optional("connections_per_workload", limits.connections_per_workload, count);
  map.Optional("tunnels_per_peer", limits.tunnels_per_peer, count);
  map.Optional("handshakes", limits.handshakes, count);
  map.Optional("handshakes_per_address", limits.handshakes_per_address, count);
  map.Finish();
}

// A gateway's deadlines and limits are of other things: the keys of the node's are not its own.
void ReadGatewayDeadlines(YamlMap map, AgentConfig::Deadlines& deadlines) {
  deadlines.dial = kGatewayDial;
  map.Optional("handshake", deadlines.handshake, ParseDeadline);
  map.Optional("dial", deadlines.dial, ParseDeadline);
  map.Optional("ping", deadlines.ping, ParseDeadline);
  map.Optional("drain", deadlines.drain, ParseDuration);
  map.Finish();
}

void ReadGatewayLimits(YamlMap map, AgentConfig::Limits& limits) {
  const auto count = [](absl::string_view text) { return ParseNumber(text, 1, kMaxLimit); };
  map.Optional("connections", limits.connections, count);
  map.Optional("connections_per_address", limits.connections_per_address, count);
  map.Optional("handshakes", limits.handshakes, count);
  map.Optional("handshakes_per_address", limits.handshakes_per_address, count);
  map.Finish();
}

constexpr std::size_t kMaxUrls = 16;

void ReadAuthority(YamlMap map, const PathParser& path, AgentConfig::Authority& authority) {
  map.List("urls", authority.urls, net::HttpsUrl::Parse);
  if (authority.urls.empty()) map.Error("urls", "has no URL that could be asked");
  if (authority.urls.size() > kMaxUrls) {
    map.Error("urls", absl::StrCat("has ", authority.urls.size(), " URLs, more than ", kMaxUrls));
  }
  map.Required("trust_domain", authority.trust_domain, ParseTrustDomain);
  map.Required("trust", authority.trust, path);
  map.Optional("join_token", authority.join_token, path);
  map.Optional("service_account_token", authority.service_account_token, path);
  map.Optional("state", authority.state, path);
  map.Optional("keep_workloads", authority.keep_workloads, ParseBool);
  if (authority.keep_workloads && authority.state.empty()) {
    map.Error("keep_workloads", "is true without a state, where they would be kept");
  }
  if (map.Has("join_token") && map.Has("service_account_token")) {
    map.Error("service_account_token", "is there beside join_token; one of them is enough");
  } else if (!map.Has("join_token") && !map.Has("service_account_token")) {
    map.Error("has neither join_token nor service_account_token");
  }
  map.Finish();
}

// `key` is of the directory that `files` becomes: a node has many SVIDs there, a gateway its own.
void ReadIdentity(YamlMap map, const PathParser& path, const char* key, std::string& files,
                  AgentConfig::Identity& identity) {
  YamlMap authority = map.Map("authority");
  if (map.Has("authority")) {
    identity.authority = AgentConfig::Authority();
    ReadAuthority(authority, path, *identity.authority);
    for (const char* other : {key, "bundle"}) {
      std::string value;
      if (!map.Optional(other, value, path)) continue;
      map.Error(other,
                absl::StrCat("'", value, "' is there beside identity.authority; which one?"));
    }
  } else {
    map.Required(key, files, path);
    map.Required("bundle", identity.bundle, path);
  }
  map.Finish();
}

// Of etcd's members and of its keys, as ParseEndpoint() and etcd take them.
absl::StatusOr<std::string> ParseEtcdUrl(absl::string_view text) {
  if (!absl::StartsWith(text, "https://") && !absl::StartsWith(text, "http://")) {
    return BadValue(text, "is not a URL of etcd like https://10.0.0.1:2379");
  }
  return std::string(text);
}

absl::StatusOr<std::string> ParsePrefix(absl::string_view text) {
  const bool graphic = std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
  if (text.empty() || text.size() > kMaxPrefix || !graphic || text.back() != '/') {
    return BadValue(text, "is not a prefix of up to 128 characters without spaces that ends in /");
  }
  return std::string(text);
}

void ReadSharedDirectory(YamlMap map, const PathParser& path, AgentConfig::SharedDirectory& etcd) {
  map.List("endpoints", etcd.endpoints, ParseEtcdUrl);
  if (etcd.endpoints.empty() || etcd.endpoints.size() > kMaxUrls) {
    map.Error("endpoints",
              absl::StrCat("has ", etcd.endpoints.size(), " valid URLs, not 1 to ", kMaxUrls));
  }
  map.Optional("prefix", etcd.prefix, ParsePrefix);
  map.Optional("ca", etcd.ca, path);
  map.Optional("certificate", etcd.certificate, path);
  map.Optional("key", etcd.key, path);
  map.Optional("user", etcd.user, ParseText);
  map.Optional("password", etcd.password, path);
  map.Optional("state", etcd.state, path);
  for (const auto& [one, other] :
       {std::pair("certificate", "key"), std::pair("user", "password")}) {
    if (map.Has(one) != map.Has(other)) {
      map.Error(map.Has(one) ? one : other,
                absl::StrCat("is there without ", map.Has(one) ? other : one));
    }
  }
  const auto is_https = [](absl::string_view url) { return absl::StartsWith(url, "https://"); };
  if (std::ranges::any_of(etcd.endpoints, is_https) && !map.Has("ca")) {
    map.Error("ca", "is missing, which vouches for members at https://");
  }
  map.Finish();
}

void ReadLog(YamlMap map, AgentConfig::Log& log) {
  map.Optional("level", log.level, ParseLevel);
  map.Optional("format", log.format, ParseFormat);
  map.Finish();
}

void ReadTunnel(YamlMap map, AgentConfig::Tunnel& tunnel) {
  map.Optional("listen", tunnel.listen, ParseListen);
  map.Finish();
}

void ReadNode(YamlMap& map, const PathParser& path, AgentConfig& config) {
  ReadIdentity(map.RequiredMap("identity"), path, "svids", config.identity.svids, config.identity);
  ReadCapture(map.Map("capture"), config.capture);
  ReadTunnel(map.Map("tunnel"), config.tunnel);
  map.Optional("relay", config.relay, ParseRelayMode);
  map.Optional("splice", config.splice, ParseSpliceMode);
  ReadDeadlines(map.Map("deadlines"), config.deadlines);
  ReadLimits(map.Map("limits"), config.limits);
}

void ReadLinks(YamlMap& map, AgentConfig& config) {
  std::set<std::string> clusters;
  for (YamlMap& item : map.Maps("links")) {
    AgentConfig::Link link;
    const bool named = item.Required("cluster", link.cluster, ParseLabel);
    if (named && link.cluster == config.cluster) {
      item.Error("cluster", absl::StrCat("'", link.cluster, "' is this gateway's own cluster"));
    } else if (named && !clusters.insert(link.cluster).second) {
      item.Error("cluster", absl::StrCat("'", link.cluster, "' is there twice"));
    }
    item.Finish();
    config.links.push_back(std::move(link));
  }
  if (!config.links.empty() && !map.Has("identity")) {
    map.Error("links", "need an identity, by which the other clusters know this gateway");
  }
}

void ReadGateway(YamlMap& map, const PathParser& path, AgentConfig& config) {
  YamlMap identity = map.Map("identity");
  if (map.Has("identity")) {
    ReadIdentity(identity, path, "svid", config.identity.svid, config.identity);
  }
  ReadLinks(map, config);
  YamlMap gateway = map.Map("gateway");
  gateway.Optional("listen", config.gateway.listen, ParseListen);
  gateway.Finish();
  ReadGatewayDeadlines(map.Map("deadlines"), config.deadlines);
  ReadGatewayLimits(map.Map("limits"), config.limits);
}

void ReadAgent(YamlMap map, const PathParser& path, std::optional<Role> role, AgentConfig& config) {
  map.Optional("role", config.role, ParseRole);
  config.role_overridden = role.has_value();
  config.role = role.value_or(config.role);
  map.Required("cluster", config.cluster, ParseLabel);
  map.Required("node", config.node, ParseLabel);
  map.Optional("instance", config.instance, ParseLabel);
  map.Required("directory", config.directory, path);
  YamlMap shared = map.Map("shared_directory");
  if (map.Has("shared_directory")) {
    config.shared_directory = AgentConfig::SharedDirectory();
    ReadSharedDirectory(shared, path, *config.shared_directory);
  }
  ReadWan(map.Map("wan"), config.wan);
  config.role == Role::kGateway ? ReadGateway(map, path, config) : ReadNode(map, path, config);
  ReadAdmin(map.Map("admin"), path, config.admin);
  map.Optional("threads", config.threads,
               [](absl::string_view text) { return ParseNumber(text, 0, kMaxThreads); });
  ReadLog(map.Map("log"), config.log);
  map.Finish();
}

}  // namespace

AgentConfig::AgentConfig()
    : tunnel{.listen = {*net::IpAddress::Parse("0.0.0.0"), kTunnelPort}},
      gateway{.listen = {*net::IpAddress::Parse("0.0.0.0"), kGatewayPort}},
      admin{.listen = net::SocketAddress{net::IpAddress::Loopback(/*ipv6=*/false), kAdminPort}} {}

absl::StatusOr<AgentConfig> LoadAgentConfig(const std::string& path, std::optional<Role> role) {
  ASSIGN_OR_RETURN(const std::string text, ReadYamlFile(path));
  YamlErrors errors(path);
  const std::optional<YamlNode> root = ParseYaml(text, errors);
  AgentConfig config;
  if (root) ReadAgent(YamlMap(*root, "", errors), PathParser(path), role, config);
  RETURN_IF_ERROR(errors.ToStatus());
  return config;
}

std::vector<std::string> RestartOnlyDifferences(const AgentConfig& running,
                                                const AgentConfig& wanted) {
  std::vector<std::string> keys;
  const auto compare = [&](const char* key, const auto& a, const auto& b) {
    if (a != b) keys.emplace_back(key);
  };
  if (!running.role_overridden) compare("role", running.role, wanted.role);
  compare("cluster", running.cluster, wanted.cluster);
  compare("node", running.node, wanted.node);
  compare("instance", running.instance, wanted.instance);
  const AgentConfig::Capture& a = running.capture;
  const AgentConfig::Capture& b = wanted.capture;
  compare("shared_directory", running.shared_directory, wanted.shared_directory);
  compare("identity.authority", running.identity.authority, wanted.identity.authority);
  compare("capture.cgroup", a.cgroup, b.cgroup);
  compare("capture.port", a.port, b.port);
  compare("capture.max_services", a.max_services, b.max_services);
  compare("capture.max_workloads", a.max_workloads, b.max_workloads);
  compare("capture.max_pending", a.max_pending, b.max_pending);
  compare("capture.max_pending_per_workload", a.max_pending_per_workload,
          b.max_pending_per_workload);
  compare("capture.max_allowed", a.max_allowed, b.max_allowed);
  compare("tunnel.listen", running.tunnel.listen, wanted.tunnel.listen);
  compare("gateway.listen", running.gateway.listen, wanted.gateway.listen);
  compare("admin.socket", running.admin.socket, wanted.admin.socket);
  compare("admin.listen", running.admin.listen, wanted.admin.listen);
  compare("threads", running.threads, wanted.threads);
  if (!running.relay_overridden) compare("relay", running.relay, wanted.relay);
  compare("splice", running.splice, wanted.splice);
  compare("deadlines.idle_tunnel", running.deadlines.idle_tunnel, wanted.deadlines.idle_tunnel);
  compare("deadlines.ping", running.deadlines.ping, wanted.deadlines.ping);
  compare("wan", running.wan, wanted.wan);
  compare("log.format", running.log.format, wanted.log.format);
  return keys;
}

}  // namespace tombolo::source
