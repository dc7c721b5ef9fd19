// SPDX-License-Identifier: Apache-2.0
#include "ledger/audit.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/json_fields.h"
#include "base/status_macros.h"
#include "ledger/records.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

}  // namespace

AuditHead FirstHead() { return {.digest = std::string(64, '0')}; }

std::string AuditKey(std::int64_t sequence) { return absl::StrCat(kAudit, SequenceText(sequence)); }

std::string Encode(const AuditEntry& entry) {
  json::object object;
  object["sequence"] = entry.sequence;
  object["time"] = TimeText(entry.time);
  object["event"] = entry.event;
  object["actor"] = entry.actor;
  object["subject"] = entry.subject;
  object["details"] = ToJson(entry.details);
  object["writes"] = ToJson(entry.writes);
  object["deletes"] = json::array(entry.deletes.begin(), entry.deletes.end());
  object["transaction"] = entry.transaction;
  object["previous"] = entry.previous;
  return json::serialize(object);
}

std::string Encode(const AuditHead& head) {
  json::object object;
  object["sequence"] = head.sequence;
  object["digest"] = head.digest;
  object["revocation"] = head.revocation;
  object["document"] = head.document;
  return json::serialize(object);
}

absl::StatusOr<AuditEntry> DecodeEntry(const std::string& key, absl::string_view value) {
  JsonFields fields(value, key);
  AuditEntry entry;
  entry.sequence = fields.Number("sequence");
  entry.time = fields.Time("time");
  entry.event = fields.Text("event");
  entry.actor = fields.Text("actor");
  entry.subject = fields.Text("subject");
  entry.details = fields.Map("details");
  entry.writes = fields.Map("writes");
  entry.deletes = fields.Texts("deletes");
  entry.transaction = fields.Text("transaction");
  entry.previous = fields.Text("previous");
  RETURN_IF_ERROR(fields.Finish());
  if (AuditKey(entry.sequence) != key) {
    return absl::DataLossError(absl::StrCat(key, ": says that it is entry ", entry.sequence));
  }
  if (Encode(entry) != value) return NotCanonical(key);
  return entry;
}

absl::StatusOr<AuditHead> DecodeHead(absl::string_view value) {
  JsonFields fields(value, kHeadKey);
  AuditHead head;
  head.sequence = fields.Number("sequence");
  head.digest = fields.Text("digest");
  head.revocation = fields.Number("revocation");
  head.document = fields.Number("document");
  RETURN_IF_ERROR(fields.Finish());
  if (head.sequence < 0 || head.sequence > kMaxSequence) {
    return absl::DataLossError(absl::StrCat(kHeadKey, ": 'sequence' is ", head.sequence));
  }
  if (Encode(head) != value) return NotCanonical(kHeadKey);
  return head;
}

}  // namespace tombolo::ca
