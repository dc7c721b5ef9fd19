// SPDX-License-Identifier: Apache-2.0
#include "config/ca_config.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "source/config_values.h"
#include "source/values.h"
#include "source/yaml_reader.h"
#include "store/etcd_store.h"

namespace tombolo::ca {
namespace {

using source::BadValue;
using source::ParseNumber;
using source::PathParser;
using source::YamlMap;

constexpr std::uint16_t kPort = 15443;
constexpr std::uint16_t kAdminPort = 15021;
constexpr std::uint32_t kMaxThreads = 1024;
constexpr std::uint32_t kMaxLimit = 1 << 20;
constexpr std::size_t kMaxNames = 32;  // of one certificate
constexpr std::size_t kMaxName = 253;

absl::StatusOr<std::string> ParseHost(absl::string_view text) {
  if (net::IpAddress::Parse(text).ok()) return std::string(text);
  bool good = text.size() <= kMaxName;
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    good = good && !label.empty() && label.size() <= 63 && label.front() != '-' &&
           label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
             return absl::ascii_isalnum(c) || c == '-';
           });
  }
  if (!good) return BadValue(text, "is neither a DNS name nor an IP address");
  return std::string(text);
}

void ReadEtcd(YamlMap map, const PathParser& path, StoreConfig::Etcd& etcd) {
  std::size_t given = 0;
  map.List("endpoints", etcd.endpoints, [&](absl::string_view text) {
    ++given;
    return ParseEtcdEndpoint(text);
  });
  if (given == 0 || given > EtcdStore::kMaxEndpoints) {
    map.Error("endpoints",
              absl::StrCat("name 1 to ", EtcdStore::kMaxEndpoints, " members, not ", given));
  }
  map.Optional("prefix", etcd.prefix, ParseEtcdPrefix);
  map.Optional("ca", etcd.ca, path);
  map.Optional("certificate", etcd.certificate, path);
  map.Optional("key", etcd.key, path);
  const bool https =
      std::any_of(etcd.endpoints.begin(), etcd.endpoints.end(),
                  [](const std::string& url) { return absl::StartsWith(url, "https:"); });
  if (!map.Has("ca") && (https || map.Has("certificate"))) {
    map.Error("ca", "is missing: it vouches for the members' certificates");
  }
  for (const auto& [one, other] :
       {std::pair("certificate", "key"), std::pair("key", "certificate")}) {
    if (map.Has(one) && !map.Has(other)) map.Error(one, absl::StrCat("needs '", other, "', too"));
  }
  map.Finish();
}

void ReadStore(YamlMap map, const PathParser& path, StoreConfig& store) {
  YamlMap etcd = map.Map("etcd");
  if (!map.Has("etcd")) {
    map.Required("sqlite", store.sqlite, path);
  } else if (map.Optional("sqlite", store.sqlite, path)) {
    map.Error("sqlite", "cannot be beside 'etcd': an authority has one store");
  } else {
    ReadEtcd(std::move(etcd), path, store.etcd.emplace());
  }
  map.Finish();
}

void ReadServe(YamlMap map, CaConfig::Serve& serve) {
  map.Optional("listen", serve.listen, source::ParseListen);
  map.List("names", serve.names, ParseHost);
  if (serve.names.size() > kMaxNames) {
    map.Error("names", absl::StrCat("are more than ", kMaxNames));
  }
  map.Finish();
}

void ReadAdmin(YamlMap map, CaConfig::Admin& admin) {
  map.Optional("listen", admin.listen, source::ParseListenOrOff);
  map.Finish();
}

void ReadLimits(YamlMap map, CaConfig::Limits& limits) {
  const auto count = [](absl::string_view text) { return ParseNumber(text, 1, kMaxLimit); };
  map.Optional("requests", limits.requests, count);
  map.Optional("connections", limits.connections, count);
  map.Optional("connections_per_address", limits.connections_per_address, count);
  map.Finish();
}

void ReadLog(YamlMap map, CaConfig::Log& log) {
  map.Optional("level", log.level, source::ParseLevel);
  map.Optional("format", log.format, source::ParseFormat);
  map.Finish();
}

std::string Text(std::chrono::seconds duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

// What the text of a "ttl" may be.
class TtlParser {
 public:
  explicit TtlParser(std::chrono::seconds shortest) : shortest_(shortest) {}

  absl::StatusOr<std::chrono::seconds> operator()(absl::string_view text) const {
    ASSIGN_OR_RETURN(const Duration duration, source::ParseDuration(text));
    const auto ttl = std::chrono::duration_cast<std::chrono::seconds>(duration);
    if (ttl >= shortest_ && ttl <= kLongestTtl) return ttl;
    return BadValue(text, absl::StrCat("is outside ", Text(shortest_), " to ", Text(kLongestTtl)));
  }

 private:
  std::chrono::seconds shortest_;
};

void ReadCa(YamlMap map, const PathParser& path, std::chrono::seconds shortest_ttl,
            CaConfig& config) {
  map.Required("trust_domain", config.trust_domain, source::ParseTrustDomain);
  ReadStore(map.RequiredMap("store"), path, config.store);
  map.Required("keys", config.keys, path);
  ReadServe(map.Map("serve"), config.serve);
  ReadAdmin(map.Map("admin"), config.admin);
  map.Optional("ttl", config.ttl, TtlParser(shortest_ttl));
  map.List("directories", config.directories, path);
  map.Optional("threads", config.threads,
               [](absl::string_view text) { return ParseNumber(text, 0, kMaxThreads); });
  ReadLimits(map.Map("limits"), config.limits);
  ReadLog(map.Map("log"), config.log);
  map.Finish();
}

}  // namespace

CaConfig::CaConfig()
    : serve{.listen = {*net::IpAddress::Parse("0.0.0.0"), kPort}, .names = {}},
      admin{.listen = net::SocketAddress{net::IpAddress::Loopback(/*ipv6=*/false), kAdminPort}} {}

unsigned CaConfig::ThreadCount() const {
  return threads == 0 ? std::max(1u, std::thread::hardware_concurrency()) : threads;
}

absl::StatusOr<CaConfig> LoadCaConfig(const std::string& path, std::chrono::seconds shortest_ttl) {
  ASSIGN_OR_RETURN(const std::string text, source::ReadYamlFile(path));
  source::YamlErrors errors(path);
  const std::optional<source::YamlNode> root = source::ParseYaml(text, errors);
  CaConfig config;
  if (root) ReadCa(YamlMap(*root, "", errors), PathParser(path), shortest_ttl, config);
  RETURN_IF_ERROR(errors.ToStatus());
  return config;
}

std::string DefaultCaConfig(const std::string& trust_domain) {
  return absl::StrCat("# docs/configuration.md\ntrust_domain: ", trust_domain,
                      "\nstore:\n  sqlite: ca.db\nkeys: .\nserve:\n  names: [localhost, "
                      "127.0.0.1]\n");
}

}  // namespace tombolo::ca
