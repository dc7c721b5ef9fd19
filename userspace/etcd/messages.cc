// SPDX-License-Identifier: Apache-2.0
#include "etcd/messages.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "etcd/json.h"

namespace tombolo::etcd {
namespace {

namespace json = boost::json;

const char* NameOf(Compare::Result result) {
  switch (result) {
    case Compare::Result::kEqual:
      return "EQUAL";
    case Compare::Result::kNotEqual:
      return "NOT_EQUAL";
    case Compare::Result::kGreater:
      return "GREATER";
    case Compare::Result::kLess:
      return "LESS";
  }
  return "";
}

// etcd's name of the target, and of the field that says what it is compared with.
std::pair<const char*, const char*> NamesOf(Compare::Target target) {
  switch (target) {
    case Compare::Target::kModRevision:
      return {"MOD", "mod_revision"};
    case Compare::Target::kCreateRevision:
      return {"CREATE", "create_revision"};
    case Compare::Target::kVersion:
      return {"VERSION", "version"};
    case Compare::Target::kLease:
      return {"LEASE", "lease"};
    case Compare::Target::kValue:
      return {"VALUE", "value"};
  }
  return {"", ""};
}

json::object Encode(const Compare& compare) {
  const auto [target, field] = NamesOf(compare.target);
  return {{"target", target},
          {"result", NameOf(compare.result)},
          {"key", absl::Base64Escape(compare.key)},
          {field, compare.target == Compare::Target::kValue ? absl::Base64Escape(compare.value)
                                                            : absl::StrCat(compare.number)}};
}

json::object Encode(const Operation& operation) {
  json::object fields{{"key", absl::Base64Escape(operation.key)}};
  if (!operation.end.empty()) fields["range_end"] = absl::Base64Escape(operation.end);
  if (operation.kind == Operation::Kind::kDelete) {
    return {{"request_delete_range", std::move(fields)}};
  }
  if (operation.kind == Operation::Kind::kRange) return {{"request_range", std::move(fields)}};
  fields["value"] = absl::Base64Escape(operation.value);
  if (operation.lease != 0) fields["lease"] = absl::StrCat(operation.lease);
  return {{"request_put", std::move(fields)}};
}

template <typename Part>
json::array EncodeAll(const std::vector<Part>& parts) {
  json::array array;
  for (const Part& part : parts) array.push_back(Encode(part));
  return array;
}

absl::StatusOr<std::vector<KeyValue>> DecodeEntries(const json::object& object) {
  std::vector<KeyValue> entries;
  ASSIGN_OR_RETURN(const std::vector<const json::object*> list, ObjectsOf(object, "kvs"));
  entries.reserve(list.size());
  for (const json::object* fields : list) {
    ASSIGN_OR_RETURN(KeyValue entry, DecodeKeyValue(*fields));
    entries.push_back(std::move(entry));
  }
  return entries;
}

// Of an answer about keys.
absl::StatusOr<Header> KeysHeader(const json::object& object) {
  ASSIGN_OR_RETURN(const Header header, HeaderOf(object));
  if (header.cluster == 0) return BadAnswer("no 'cluster_id'");
  if (header.revision == 0) return BadAnswer("no 'revision'");
  return header;
}

}  // namespace

std::string PrefixEnd(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::string(1, '\0');
  ++end.back();
  return end;
}

Operation Operation::Put(std::string key, std::string value, std::int64_t lease) {
  return {.kind = Kind::kPut, .key = std::move(key), .value = std::move(value), .lease = lease};
}
Operation Operation::Delete(std::string key, std::string end) {
  return {.kind = Kind::kDelete, .key = std::move(key), .end = std::move(end)};
}
Operation Operation::Range(std::string key, std::string end) {
  return {.kind = Kind::kRange, .key = std::move(key), .end = std::move(end)};
}

std::string Encode(const RangeRequest& range) {
  json::object object;
  object["key"] = absl::Base64Escape(range.key);
  if (!range.end.empty()) object["range_end"] = absl::Base64Escape(range.end);
  if (range.limit > 0) object["limit"] = absl::StrCat(range.limit);
  if (range.revision > 0) object["revision"] = absl::StrCat(range.revision);
  if (range.count_only) object["count_only"] = true;
  if (range.serializable) object["serializable"] = true;
  return json::serialize(object);
}

std::string Encode(const Txn& txn) {
  json::object object{{"compare", EncodeAll(txn.compares)}, {"success", EncodeAll(txn.then)}};
  if (!txn.otherwise.empty()) object["failure"] = EncodeAll(txn.otherwise);
  return json::serialize(object);
}

absl::StatusOr<RangeAnswer> DecodeRange(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const Header header, KeysHeader(object));
  RangeAnswer answer{.cluster = header.cluster, .revision = header.revision, .term = header.term};
  ASSIGN_OR_RETURN(answer.more, FlagOf(object, "more"));
  ASSIGN_OR_RETURN(answer.entries, DecodeEntries(object));
  return answer;
}

absl::StatusOr<TxnAnswer> DecodeTxn(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const Header header, KeysHeader(object));
  TxnAnswer answer{.revision = header.revision};
  ASSIGN_OR_RETURN(answer.succeeded, FlagOf(object, "succeeded"));
  ASSIGN_OR_RETURN(const std::vector<const json::object*> responses,
                   ObjectsOf(object, "responses"));
  for (const json::object* response : responses) {
    ASSIGN_OR_RETURN(const json::object* range, ObjectOf(*response, "response_range"));
    answer.ranges.emplace_back();
    if (range == nullptr) continue;
    ASSIGN_OR_RETURN(answer.ranges.back(), DecodeEntries(*range));
  }
  return answer;
}

}  // namespace tombolo::etcd
