// SPDX-License-Identifier: Apache-2.0
// The answer to "what would become of a connection", and to "why did this one go there".
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/agent.h"
#include "agent/explain.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "policy/authorize.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

// Takes a key of the query; "" when it is not there.
std::string Take(admin::Query& query, const std::string& key) {
  const auto found = query.find(key);
  return found == query.end() ? "" : query.extract(found).mapped();
}

absl::StatusOr<Supposed> ReadQuery(admin::Query query) {
  Supposed supposed{.workload = Take(query, "workload"), .to = Take(query, "to")};
  const std::string client = Take(query, "client");
  if (supposed.workload.empty() || supposed.to.empty()) {
    return absl::InvalidArgumentError(
        "say workload=<name>&to=<address or service>:<port>, or connection=<id>");
  }
  if (!query.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown key '", query.begin()->first, "' in the query"));
  }
  if (!client.empty()) {
    ASSIGN_OR_RETURN(supposed.client, net::IpAddress::Parse(client));
  }
  return supposed;
}

}  // namespace

// What the kernel does before an agent sees anything: of what this agent has put there.
json::object Agent::CaptureStep(const mesh::Workload& workload) const {
  const auto fail = [](absl::string_view what, absl::string_view detail) {
    return StepJson("capture", false, absl::StrCat(what, detail));
  };
  if (workload.cgroup.empty()) {
    return fail("it has no cgroup in the directory, so nothing of it is captured", "");
  }
  if (!probe_status_.ok()) return fail("capture does not work: ", probe_status_.message());
  if (enrolment_ == nullptr) return fail("this agent is shutting down", "");
  const auto entry = enrolment_->entries().find(workload.name);
  if (entry == enrolment_->entries().end() || entry->second.cgroup_id == 0) {
    return fail("it is not enrolled, so nothing of it is captured: ",
                entry == enrolment_->entries().end() ? "" : entry->second.status.message());
  }
  if (!entry->second.status.ok() || !entry->second.listening) {
    return fail("it is captured, and every connection refused: ", entry->second.status.message());
  }
  return StepJson("capture", true, absl::StrCat("enrolled, cgroup ", entry->second.cgroup_id));
}

Awaitable<absl::StatusOr<json::value>> Agent::Explain(admin::Query query) {
  if (std::string id = Take(query, "connection"); !id.empty()) {
    co_return co_await ExplainConnection(std::move(id));
  }
  CO_ASSIGN_OR_RETURN(const Supposed supposed, ReadQuery(std::move(query)));
  CO_ASSIGN_OR_RETURN(const Parties parties, FindParties(*snapshot_, settings_, supposed));
  json::array steps{CaptureStep(*parties.source)};
  const bool captured = steps[0].at("ok").as_bool();
  json::array threads;
  std::string reason = captured ? "" : "not_captured";
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    // Not inside the co_await: g++ 12 destroys a lambda's captures there twice.
    std::function<json::object(DataThread&)> question = [supposed](DataThread& self) {
      return ExplainOn(self.context(), supposed);
    };
    json::object one = co_await threads_[i]->Ask<json::object>(std::move(question));
    if (i == 0) {
      if (json::value* more = one.if_contains("steps")) {
        for (json::value& step : more->as_array()) steps.push_back(std::move(step));
      }
      if (const json::value* why = one.if_contains("reason"); why && reason.empty()) {
        reason = std::string(why->as_string());
      }
    }
    one.erase("steps");
    one.erase("reason");
    one["thread"] = i;
    threads.push_back(std::move(one));
  }
  co_return json::object{{"workload", supposed.workload}, {"to", supposed.to},
                         {"carried", reason.empty()},     {"reason", reason},
                         {"steps", std::move(steps)},     {"threads", std::move(threads)}};
}

Awaitable<absl::StatusOr<json::value>> Agent::ExplainConnection(std::string id) {
  for (auto& thread : threads_) {
    std::function<std::optional<json::object>(DataThread&)> question = [id](DataThread& self) {
      return ConnectionOf(self.context(), id);
    };
    auto found = co_await thread->Ask<std::optional<json::object>>(std::move(question));
    if (found) co_return json::object{{"connection", *std::move(found)}};
  }
  co_return absl::NotFoundError(absl::StrCat("no connection '", id, "' is running here"));
}

}  // namespace tombolo::agent
