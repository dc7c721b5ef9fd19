// SPDX-License-Identifier: Apache-2.0
// What an Issuance tells of itself, and what it warns of.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "identity/issuance.h"

namespace tombolo::identity {
namespace {

WallTime Now() { return std::chrono::system_clock::now(); }

RenewalView ViewOf(const SpiffeId& id, const Record& record) {
  RenewalView view{
      .id = id, .next = record.due, .failures = record.failures, .error = record.error};
  view.expires_soon = record.ExpiresSoonAt(Now());
  view.useless = record.useless;
  view.all_failures = record.all_failures;
  if (const tls::CredentialsPtr& credentials = record.svid.credentials; credentials != nullptr) {
    view.serial = credentials->serial();
    view.not_before = credentials->not_before();
    view.not_after = credentials->not_after();
  }
  return view;
}

void LookForAlarm(const SpiffeId& id, Record& record) {
  if (record.alarmed || !record.ExpiresSoonAt(Now())) return;
  record.alarmed = true;
  const auto left = record.svid.credentials->not_after() - Now();
  log::Error("SVID expires soon and could not be renewed",
             {{"id", id.text()},
              {"seconds_left", std::chrono::duration_cast<std::chrono::seconds>(left).count()},
              {"reason", record.error}});
}

std::string WithReason(std::string what, const absl::Status& why) {
  return why.ok() ? what : absl::StrCat(what, ": ", why.message());
}

std::string OfNoUse(const SpiffeId& id) {
  return absl::StrCat("the SVID that '", id.text(), "' was issued is of no use here");
}

}  // namespace

IssuanceView Issuance::View() const {
  IssuanceView view;
  for (const net::HttpsUrl& url : options_.urls) view.urls.push_back(url.ToString());
  view.reachable = reachable_;
  view.since = reach_since_;
  if (trust_.bundle() != nullptr) view.sequence = trust_.bundle()->bundle().sequence;
  view.trust_error = trust_status_;
  view.state_error = trust_.state_status();
  view.state_error.Update(node_.state_status());
  view.state_error.Update(kept_.state_status());
  view.node = ViewOf(node_.id(), node_.record());
  for (const auto& [id, record] : roster_.records()) view.workloads[id] = ViewOf(id, record);
  return view;
}

std::vector<std::string> Issuance::NotReady() const {
  const Record& node = node_.record();
  if (!node.svid.ValidAt(Now())) {
    return {WithReason("the node has no valid SVID", node.error)};
  }
  if (trust_.bundle() == nullptr) {
    return {WithReason("no trust bundle from the authority yet", trust_status_)};
  }
  std::vector<std::string> reasons;
  if (node.useless) reasons.push_back(WithReason(OfNoUse(node_.id()), node.error));
  // Those that the authority refuses are no reason: others would get theirs.
  std::size_t waiting = 0;
  absl::Status why;
  for (const auto& [id, record] : roster_.records()) {
    if (record.useless) reasons.push_back(WithReason(OfNoUse(id), record.error));
    if (record.useless || record.Refused() || record.svid.ValidAt(Now())) continue;
    ++waiting;
    why.Update(record.error);
  }
  if (waiting > 0) {
    reasons.push_back(WithReason(
        absl::StrCat(waiting, " of ", roster_.records().size(), " SVIDs were not issued yet"),
        why));
  }
  return reasons;
}

void Issuance::NoteReach() {
  if (client_.reachable() == reachable_) return;
  reachable_ = client_.reachable();
  reach_since_ = Now();
  if (!reachable_) return log::Warning("authority unreachable");
  log::Info("authority reachable");
  TryUnanswered();
}

void Issuance::LookForAlarms() {
  LookForAlarm(node_.id(), node_.record());
  for (auto& [id, record] : roster_.records()) LookForAlarm(id, record);
}

}  // namespace tombolo::identity
