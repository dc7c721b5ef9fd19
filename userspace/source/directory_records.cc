// SPDX-License-Identifier: Apache-2.0
#include "source/directory_records.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/json_fields.h"
#include "base/status_macros.h"
#include "source/config_values.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

namespace json = boost::json;
using Limits = DirectoryLimits;

template <typename T, typename ToText>
json::array Texts(const std::vector<T>& values, ToText to_text) {
  json::array array;
  array.reserve(values.size());
  for (const T& value : values) array.emplace_back(to_text(value));
  return array;
}

json::object ToJson(const Backend& backend) {
  return {{"identity", backend.identity.text()},
          {"endpoints", backend.endpoints},
          {"ready", backend.ready},
          {"weight", backend.weight}};
}

// A record's fields, with values that are checked as they are read.
class Reader {
 public:
  Reader(absl::string_view key, absl::string_view value)
      : fields_(value.size() > Limits::kRecordBytes ? "{}" : value, std::string(key)) {
    if (value.size() > Limits::kRecordBytes) {
      fields_.Fail(absl::StrCat("has ", value.size(), " bytes, more than ", Limits::kRecordBytes));
    }
  }
  explicit Reader(JsonFields fields) : fields_(std::move(fields)) {}

  // `parse` takes the text and returns a StatusOr<T> whose error quotes it.
  template <typename T, typename Parse>
  void Text(absl::string_view field, T& out, Parse parse) {
    Take(field, fields_.Text(field), out, parse);
  }
  template <typename T, typename Parse>
  void OptionalText(absl::string_view field, T& out, Parse parse) {
    if (fields_.Has(field)) Text(field, out, parse);
  }

  template <typename T, typename Parse>
  void List(absl::string_view field, std::size_t most, std::vector<T>& out, Parse parse) {
    const std::vector<std::string> texts = fields_.Texts(field);
    if (!Bounded(field, texts.size(), most)) return;
    absl::flat_hash_set<absl::string_view> seen;
    for (const std::string& text : texts) {
      if (!seen.insert(text).second) {
        fields_.Fail(absl::StrCat("'", field, "' has '", text, "' twice"));
      }
      if (!Take(field, text, out.emplace_back(), parse)) return;
    }
  }

  template <typename T>
  void Number(absl::string_view field, std::int64_t min, std::int64_t max, T& out) {
    const std::int64_t number = fields_.Number(field);
    if (fields_.ok() && (number < min || number > max)) {
      fields_.Fail(absl::StrCat("'", field, "' is ", number, ", and not from ", min, " to ", max));
    }
    if (fields_.ok()) out = static_cast<T>(number);
  }

  void OptionalFlag(absl::string_view field, bool& out) {
    if (fields_.Has(field)) out = fields_.Flag(field);
  }

  // A list of objects, each read by `read(Reader&)` and finished.
  template <typename Read>
  void Objects(absl::string_view field, std::size_t most, Read read) {
    std::vector<JsonFields> objects = fields_.Objects(field);
    if (!Bounded(field, objects.size(), most)) return;
    for (JsonFields& object : objects) {
      Reader below(std::move(object));
      read(below);
      below_ = below.Close();
      if (!below_.ok()) return;
    }
  }

  bool Has(absl::string_view field) const { return fields_.Has(field); }
  void Fail(absl::string_view what) { fields_.Fail(what); }

  template <typename Record>
  absl::StatusOr<Record> Finish(Record record) {
    const absl::Status status = Close();
    // Others wrote it, and may write it better: not a loss of our data.
    if (!status.ok()) return absl::InvalidArgumentError(status.message());
    return record;
  }

 private:
  // What is wrong with it or with anything in it.
  absl::Status Close() {
    absl::Status status = fields_.Finish();
    return status.ok() ? below_ : status;
  }

  bool Bounded(absl::string_view field, std::size_t size, std::size_t most) {
    if (size > most) {
      fields_.Fail(absl::StrCat("'", field, "' has ", size, " entries, more than ", most));
    }
    return fields_.ok();
  }

  template <typename T, typename Parse>
  bool Take(absl::string_view field, const std::string& text, T& out, Parse& parse) {
    if (!fields_.ok()) return false;
    auto value = parse(absl::string_view(text));
    if (!value.ok()) {
      fields_.Fail(absl::StrCat("'", field, "': ", value.status().message()));
      return false;
    }
    out = *std::move(value);
    return true;
  }

  JsonFields fields_;
  absl::Status below_;  // of an object in a list
};

absl::StatusOr<net::SocketAddress> ParseGatewayAddress(absl::string_view text) {
  ASSIGN_OR_RETURN(const net::SocketAddress address, ParseTarget(text));
  if (address.ip.is_loopback()) return BadValue(text, "is a loopback address");
  return address;
}

void ReadBackend(Reader& reader, Backend& out) {
  reader.Text("identity", out.identity, SpiffeId::Parse);
  reader.Number("endpoints", 1, Limits::kEndpointsOfBackend, out.endpoints);
  reader.Number("ready", 0, out.endpoints, out.ready);
  // So that it can be no more than its endpoints could be one by one, and fits.
  reader.Number("weight", out.ready == 0 ? 0 : 1,
                std::int64_t{out.ready} * Limits::kWeightOfEndpoint, out.weight);
}

void ReadPort(Reader& reader, ExportedPort& out) {
  reader.Number("port", 1, 65535, out.port);
  absl::flat_hash_set<std::string> seen;
  reader.Objects("backends", Limits::kBackendsOfPort, [&](Reader& backend) {
    ReadBackend(backend, out.backends.emplace_back());
    const std::string& identity = out.backends.back().identity.text();
    if (!seen.insert(identity).second) {
      backend.Fail(absl::StrCat("'identity': '", identity, "' is there twice"));
    }
  });
}

}  // namespace

std::string Encode(const ClusterGrant& record) {
  json::object object{
      {"gateways", Texts(record.gateways, [](const net::Prefix& p) { return p.ToString(); })},
      {"draining", record.draining}};
  if (record.draining && record.deadline) object["deadline"] = FormatTime(*record.deadline);
  if (!record.via.empty()) {
    object["via"] = Texts(record.via, [](const std::string& cluster) { return cluster; });
  }
  return json::serialize(object);
}

std::string Encode(const NamespaceGrant& record) {
  return json::serialize(json::object{
      {"clusters", Texts(record.clusters, [](const std::string& cluster) { return cluster; })}});
}

std::string Encode(const ClusterRecord& record) {
  json::object object;
  if (!record.region.empty()) object["region"] = record.region;
  return json::serialize(object);
}

std::string Encode(const GatewayRecord& record) {
  json::object object;
  if (record.via.empty()) {
    object["address"] = record.address.ToString();
  } else {
    object["via"] = record.via;
  }
  if (!record.zone.empty()) object["zone"] = record.zone;
  return json::serialize(object);
}

std::string Encode(const ServiceRecord& record) {
  json::array ports;
  for (const ExportedPort& port : record.ports) {
    json::array backends;
    for (const Backend& backend : port.backends) backends.emplace_back(ToJson(backend));
    ports.emplace_back(json::object{{"port", port.port}, {"backends", std::move(backends)}});
  }
  return json::serialize(json::object{{"ports", std::move(ports)}});
}

std::string Encode(const VipsRecord& record) {
  json::object object{
      {"vips", Texts(record.vips, [](const net::IpAddress& vip) { return vip.ToString(); })}};
  if (record.unused_since != 0) object["unused_since"] = record.unused_since;
  return json::serialize(object);
}

std::string Encode(const PublisherRecord& record) {
  return json::serialize(json::object{{"gateway", record.gateway}});
}

absl::StatusOr<ClusterGrant> DecodeClusterGrant(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  ClusterGrant grant;
  reader.List("gateways", Limits::kPrefixesOfCluster, grant.gateways, net::Prefix::Parse);
  if (reader.Has("via")) reader.List("via", Limits::kViasOfCluster, grant.via, ParseLabel);
  reader.OptionalFlag("draining", grant.draining);
  if (reader.Has("deadline")) {
    reader.Text("deadline", grant.deadline.emplace(), ParseTime);
    if (!grant.draining) reader.Fail("'deadline' is of a cluster that is not draining");
  }
  return reader.Finish(std::move(grant));
}

absl::StatusOr<NamespaceGrant> DecodeNamespaceGrant(absl::string_view key,
                                                    absl::string_view value) {
  Reader reader(key, value);
  NamespaceGrant grant;
  reader.List("clusters", Limits::kClustersOfNamespace, grant.clusters, ParseLabel);
  return reader.Finish(std::move(grant));
}

absl::StatusOr<ClusterRecord> DecodeCluster(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  ClusterRecord record;
  reader.OptionalText("region", record.region, ParseLabel);
  return reader.Finish(std::move(record));
}

absl::StatusOr<GatewayRecord> DecodeGateway(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  GatewayRecord record;
  if (reader.Has("via")) {
    reader.Text("via", record.via, ParseLabel);
  } else {
    reader.Text("address", record.address, ParseGatewayAddress);
  }
  reader.OptionalText("zone", record.zone, ParseLabel);
  return reader.Finish(std::move(record));
}

absl::StatusOr<ServiceRecord> DecodeService(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  ServiceRecord record;
  absl::flat_hash_set<std::uint16_t> seen;
  reader.Objects("ports", Limits::kPortsOfService, [&](Reader& port) {
    ReadPort(port, record.ports.emplace_back());
    const std::uint16_t number = record.ports.back().port;
    if (!seen.insert(number).second) port.Fail(absl::StrCat("'port': ", number, " is there twice"));
  });
  return reader.Finish(std::move(record));
}

absl::StatusOr<VipsRecord> DecodeVips(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  VipsRecord record;
  reader.List("vips", Limits::kVipsOfService, record.vips, ParseVip);
  if (reader.Has("unused_since")) {
    reader.Number("unused_since", 1, std::int64_t{1} << 40, record.unused_since);
  }
  return reader.Finish(std::move(record));
}

absl::StatusOr<PublisherRecord> DecodePublisher(absl::string_view key, absl::string_view value) {
  Reader reader(key, value);
  PublisherRecord record;
  reader.Text("gateway", record.gateway, ParseLabel);
  return reader.Finish(std::move(record));
}

}  // namespace tombolo::source
