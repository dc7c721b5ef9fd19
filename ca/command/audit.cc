// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "ledger/verify.h"
#include "store/open.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

struct AuditOptions : CommonOptions {
  std::string head;
  std::int64_t after = -1;  // -1: the last ones
  std::size_t limit = 50;
};

absl::Status VerifyAll(const AuditOptions& options) {
  ASSIGN_OR_RETURN(const CaConfig config, LoadCaConfig(options.config, std::chrono::seconds(1)));
  ASSIGN_OR_RETURN(const std::shared_ptr<Store> store, OpenStore(config.store));
  ASSIGN_OR_RETURN(const VerifyReport report, Verify(*store, options.head));
  if (options.json) {
    PrintJson(
        json::object{{"intact", report.intact()},
                     {"entries", report.head.sequence},
                     {"records", report.records},
                     {"head", report.head.digest},
                     {"findings", json::array(report.findings.begin(), report.findings.end())}});
  } else {
    for (const std::string& finding : report.findings) Print(finding);
    Print(absl::StrCat(report.intact() ? "intact: " : "NOT INTACT: ", report.head.sequence,
                       " entries, ", report.records, " records; head ", report.head.digest));
  }
  if (report.intact()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(report.findings.size(), " findings: the log or the records were changed"));
}

json::object Describe(const AuditEntry& entry) {
  json::object details;
  for (const auto& [name, value] : entry.details) details[name] = value;
  return {{"sequence", entry.sequence}, {"time", ShowTime(entry.time)}, {"event", entry.event},
          {"actor", entry.actor},       {"subject", entry.subject},     {"details", details}};
}

absl::Status ShowEntries(const AuditOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const Reader::Head head, context.reader().FindHead());
  const std::int64_t last = head.head.sequence - static_cast<std::int64_t>(options.limit);
  const std::int64_t after = options.after >= 0 ? options.after : std::max<std::int64_t>(last, 0);
  ASSIGN_OR_RETURN(const std::vector<AuditEntry> entries,
                   context.reader().Entries(after, options.limit));
  json::array array;
  Table table({"ENTRY", "TIME", "EVENT", "ACTOR", "SUBJECT", "DETAILS"});
  for (const AuditEntry& entry : entries) {
    array.push_back(Describe(entry));
    table.Add({absl::StrCat(entry.sequence), ShowTime(entry.time), entry.event, entry.actor,
               entry.subject, absl::StrJoin(entry.details, " ", absl::PairFormatter("="))});
  }
  if (options.json) {
    PrintJson(array);
  } else {
    table.Print();
  }
  return absl::OkStatus();
}

}  // namespace

void AddAudit(CLI::App& app, Action& action) {
  CLI::App* audit = app.add_subcommand("audit", "what happened, and whether the log says so");
  audit->require_subcommand(1);
  auto verify_options = std::make_shared<AuditOptions>();
  CLI::App* verify =
      AddCommand(*audit, "verify", "check the whole log and every record", *verify_options);
  AddJson(*verify, *verify_options);
  verify->add_option("--head", verify_options->head, "digest of a head that was noted earlier");
  verify->callback([verify_options, &action] {
    action = [verify_options] { return VerifyAll(*verify_options); };
  });

  auto show_options = std::make_shared<AuditOptions>();
  CLI::App* show =
      AddCommand(*audit, "show", "show entries, the last ones by default", *show_options);
  AddJson(*show, *show_options);
  show->add_option("--after", show_options->after, "begin behind this entry");
  show->add_option("--limit", show_options->limit, "so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  show->callback(
      [show_options, &action] { action = [show_options] { return ShowEntries(*show_options); }; });
}

}  // namespace tombolo::ca
