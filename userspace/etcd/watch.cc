// SPDX-License-Identifier: Apache-2.0
#include "etcd/watch.h"

#include <iterator>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "etcd/json.h"

namespace tombolo::etcd {
namespace {

namespace json = boost::json;

absl::StatusOr<Event> DecodeEvent(const json::object& fields) {
  Event event;
  ASSIGN_OR_RETURN(const std::string type, TextOf(fields, "type"));
  if (!type.empty() && type != "PUT" && type != "DELETE") {
    return BadAnswer(absl::StrCat("an event of the type '", absl::CHexEscape(type), "'"));
  }
  event.deleted = type == "DELETE";
  ASSIGN_OR_RETURN(const json::object* entry, ObjectOf(fields, "kv"));
  if (entry == nullptr) return BadAnswer("an event without 'kv'");
  ASSIGN_OR_RETURN(event.entry, DecodeKeyValue(*entry));
  ASSIGN_OR_RETURN(const json::object* previous, ObjectOf(fields, "prev_kv"));
  if (previous == nullptr) return event;
  ASSIGN_OR_RETURN(event.previous, DecodeKeyValue(*previous));
  return event;
}

// What ends a watch. etcd names the cause in words.
absl::Status CanceledError(const WatchMessage& message) {
  if (message.compacted > 0) {
    return absl::OutOfRangeError(
        absl::StrCat("revisions before ", message.compacted, " have been compacted away"));
  }
  const std::string what = absl::StrCat("etcd ends the watch: ", message.reason);
  if (absl::StrContains(message.reason, "permission denied")) {
    return absl::PermissionDeniedError(what);
  }
  if (absl::StrContains(message.reason, "invalid auth token") ||
      absl::StrContains(message.reason, "user name is empty") ||
      absl::StrContains(message.reason, "auth store is old")) {
    return absl::UnauthenticatedError(what);
  }
  return absl::UnavailableError(what);
}

std::size_t SizeOf(const Event& event) { return event.entry.key.size() + event.entry.value.size(); }

}  // namespace

std::string Encode(const WatchRequest& request) {
  json::object create{{"key", absl::Base64Escape(request.key)}};
  if (!request.end.empty()) create["range_end"] = absl::Base64Escape(request.end);
  if (request.start_revision > 0) create["start_revision"] = absl::StrCat(request.start_revision);
  create["progress_notify"] = true;
  create["fragment"] = true;
  if (request.previous) create["prev_kv"] = true;
  return json::serialize(json::object{{"create_request", std::move(create)}});
}

absl::StatusOr<WatchMessage> DecodeWatch(absl::string_view line) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(line));
  ASSIGN_OR_RETURN(const json::object* error, ObjectOf(object, "error"));
  if (error != nullptr) return ErrorOf(*error);
  ASSIGN_OR_RETURN(const json::object* result, ObjectOf(object, "result"));
  if (result == nullptr) return BadAnswer("neither 'result' nor 'error'");
  WatchMessage message;
  ASSIGN_OR_RETURN(const Header header, HeaderOf(*result));
  message.cluster = header.cluster;
  message.term = header.term;
  message.revision = header.revision;
  ASSIGN_OR_RETURN(message.created, FlagOf(*result, "created"));
  ASSIGN_OR_RETURN(message.fragment, FlagOf(*result, "fragment"));
  ASSIGN_OR_RETURN(message.canceled, FlagOf(*result, "canceled"));
  ASSIGN_OR_RETURN(message.compacted, NumberOf(*result, "compact_revision"));
  ASSIGN_OR_RETURN(message.reason, TextOf(*result, "cancel_reason"));
  ASSIGN_OR_RETURN(const std::vector<const json::object*> events, ObjectsOf(*result, "events"));
  message.events.reserve(events.size());
  for (const json::object* fields : events) {
    ASSIGN_OR_RETURN(Event event, DecodeEvent(*fields));
    message.events.push_back(std::move(event));
  }
  return message;
}

absl::StatusOr<Watch::Batch> Watch::Next(MonotonicTime deadline) {
  for (;;) {
    ASSIGN_OR_RETURN(const net::HttpAnswer line, lines_->Next(deadline));
    if (line.status != 200) return ErrorOf(line.status, line.body);
    ASSIGN_OR_RETURN(WatchMessage message, DecodeWatch(line.body));
    if (message.canceled || message.compacted > 0) return CanceledError(message);
    for (const Event& event : message.events) fragment_bytes_ += SizeOf(event);
    if (fragment_bytes_ > kMaxBatch) {
      return absl::ResourceExhaustedError(
          absl::StrCat("one change has more than ", kMaxBatch, " bytes"));
    }
    fragments_.insert(fragments_.end(), std::make_move_iterator(message.events.begin()),
                      std::make_move_iterator(message.events.end()));
    if (message.fragment) continue;
    Batch batch{.cluster = message.cluster,
                .term = message.term,
                .revision = message.revision,
                .created = message.created,
                .events = std::move(fragments_)};
    fragments_.clear();
    fragment_bytes_ = 0;
    if (!batch.events.empty()) batch.revision = batch.events.back().entry.mod_revision;
    return batch;
  }
}

}  // namespace tombolo::etcd
