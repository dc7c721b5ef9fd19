// SPDX-License-Identifier: Apache-2.0
#include "tls/bundle_extension.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include <boost/json/array.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/json.h"
#include "tls/serial.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxEntries = 65536;  // of one list; the document's size is bounded, too
constexpr std::size_t kMaxSerialDigits = 40;

absl::Status Bad(absl::string_view why) { return absl::InvalidArgumentError(why); }

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isxdigit(c); });
}

absl::StatusOr<KeyId> ReadKeyId(absl::string_view hex) {
  KeyId id{};
  if (hex.size() != 2 * id.size() || !IsHex(hex)) return Bad("is not 64 hexadecimal digits");
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

absl::Status ReadBinding(const json::value& entry, ClusterBindings& bindings) {
  const json::object* binding = entry.if_object();
  if (binding == nullptr) return Bad("not an object");
  ASSIGN_OR_RETURN(const std::string hex, NeedString(*binding, "key_sha256"));
  ASSIGN_OR_RETURN(const std::optional<std::string> cluster, StringMember(*binding, "cluster"));
  const absl::StatusOr<KeyId> id = ReadKeyId(hex);
  if (!id.ok()) return Annotate(id.status(), "'key_sha256'");
  // A binding that is forgotten must not become one to everything outside of the clusters.
  if (!cluster) return Bad("no 'cluster'");
  if (!cluster->empty()) RETURN_IF_ERROR(SpiffeId::ForNode("any", *cluster, "any").status());
  if (!bindings.clusters.emplace(*id, *cluster).second) return Bad("a key is bound twice");
  return absl::OkStatus();
}

// Calls `read` with each entry of the list `name`. Nothing to do when there is no such list.
template <typename Read>
absl::Status ReadList(const json::object& object, absl::string_view name, const Read& read) {
  ASSIGN_OR_RETURN(const json::array* entries, ArrayMember(object, name));
  if (entries == nullptr) return absl::OkStatus();
  if (entries->size() > kMaxEntries)
    return Bad(absl::StrCat("more than ", kMaxEntries, " '", name, "'"));
  for (std::size_t i = 0; i < entries->size(); ++i) {
    const absl::Status one = read((*entries)[i]);
    if (!one.ok()) return Annotate(one, absl::StrCat(name, "[", i, "]"));
  }
  return absl::OkStatus();
}

absl::Status ReadBindings(const json::object& own, TrustBundle& bundle) {
  const json::value* authorities = own.if_contains("authorities");
  // Left out by mistake it would unbind every authority.
  if (authorities == nullptr) return Bad("no 'authorities'");
  if (authorities->is_null()) return absl::OkStatus();
  bundle.bindings.emplace();
  return ReadList(own, "authorities",
                  [&](const json::value& entry) { return ReadBinding(entry, *bundle.bindings); });
}

absl::Status ReadTainted(const json::object& own, TrustBundle& bundle) {
  return ReadList(own, "tainted", [&](const json::value& entry) -> absl::Status {
    const json::string* text = entry.if_string();
    if (text == nullptr) return Bad("is not a string");
    ASSIGN_OR_RETURN(const KeyId id, ReadKeyId({text->data(), text->size()}));
    bundle.tainted.insert(id);
    return absl::OkStatus();
  });
}

absl::Status CheckRevokedId(const std::string& text) { return SpiffeId::Parse(text).status(); }

// As a certificate's serial number is shown here: another spelling would never match.
absl::Status CheckSerial(const std::string& text) {
  const bool good = !text.empty() && text.size() <= kMaxSerialDigits && text.size() % 2 == 0 &&
                    IsHex(text) && absl::AsciiStrToLower(text) == text;
  return good ? absl::OkStatus() : Bad("is not a serial number in pairs of lower-case hex digits");
}

absl::Status CheckSeries(const std::string& text) {
  RETURN_IF_ERROR(CheckSerial(text));
  if (text.size() == Serial::kSeriesDigits) return absl::OkStatus();
  return Bad(absl::StrCat("is not ", Serial::kSeriesDigits, " digits"));
}

absl::Status CheckCluster(const std::string& text) {
  return SpiffeId::ForNode("any", text, "any").status();
}

absl::Status ReadNames(const json::object& revoked, absl::string_view list,
                       absl::Status (*check)(const std::string&), std::set<std::string>& names) {
  return ReadList(revoked, list, [&](const json::value& entry) -> absl::Status {
    const json::string* text = entry.if_string();
    if (text == nullptr) return Bad("is not a string");
    const std::string name(text->data(), text->size());
    RETURN_IF_ERROR(check(name));
    names.insert(name);
    return absl::OkStatus();
  });
}

absl::Status ReadRevoked(const json::object& own, Revocations& revocations) {
  ASSIGN_OR_RETURN(const json::object* revoked, ObjectMember(own, "revoked"));
  if (revoked == nullptr) return absl::OkStatus();
  // A kind of revocation that this reader does not know must not be passed over.
  for (const auto& member : *revoked) {
    const absl::string_view name(member.key().data(), member.key().size());
    if (name == "ids" || name == "serials" || name == "series" || name == "clusters") continue;
    return Bad(absl::StrCat("revoked: unknown member '", name.substr(0, 80), "'"));
  }
  RETURN_IF_ERROR(ReadNames(*revoked, "ids", CheckRevokedId, revocations.ids));
  RETURN_IF_ERROR(ReadNames(*revoked, "serials", CheckSerial, revocations.serials));
  RETURN_IF_ERROR(ReadNames(*revoked, "series", CheckSeries, revocations.series));
  return ReadNames(*revoked, "clusters", CheckCluster, revocations.clusters);
}

json::value AuthoritiesOf(const std::optional<ClusterBindings>& bindings) {
  if (!bindings) return nullptr;
  json::array authorities;
  for (const auto& [id, cluster] : bindings->clusters) {
    authorities.push_back(json::object{{"key_sha256", Hex(id)}, {"cluster", cluster}});
  }
  return authorities;
}

json::array NamesOf(const std::set<std::string>& names) {
  return json::array(names.begin(), names.end());
}

}  // namespace

absl::Status ReadExtension(const json::object& own, TrustBundle& bundle) {
  absl::Status read = ReadBindings(own, bundle);
  if (read.ok()) read = ReadTainted(own, bundle);
  if (read.ok()) read = ReadRevoked(own, bundle.revoked);
  return read.ok() ? read : Annotate(read, "tombolo");
}

json::object WriteExtension(const TrustBundle& bundle) {
  json::object own{{"trust_domain", bundle.trust_domain},
                   {"authorities", AuthoritiesOf(bundle.bindings)}};
  json::array tainted;
  for (const KeyId& id : bundle.tainted) tainted.emplace_back(Hex(id));
  if (!tainted.empty()) own["tainted"] = std::move(tainted);
  if (bundle.revoked.empty()) return own;
  json::object revoked{{"ids", NamesOf(bundle.revoked.ids)},
                       {"serials", NamesOf(bundle.revoked.serials)},
                       {"clusters", NamesOf(bundle.revoked.clusters)}};
  // Readers from before it refuse a bundle that has it: not when nothing depends on it.
  if (!bundle.revoked.series.empty()) revoked["series"] = NamesOf(bundle.revoked.series);
  own["revoked"] = std::move(revoked);
  return own;
}

}  // namespace tombolo::tls
