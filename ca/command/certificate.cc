// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr std::size_t kPage = 500;

struct CertificateOptions : CommonOptions {
  std::string id, serial;
  bool all = false;
};

std::string StateOf(const Certificate& certificate, const StoredState& state) {
  if (certificate.not_after <= std::chrono::system_clock::now()) return "expired";
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(certificate.subject);
  const bool good = !id.ok() || state.revoked.set.Check(*id, certificate.serial).ok();
  return good ? "good" : "revoked";
}

json::object Describe(const Certificate& certificate, const std::string& state) {
  return {{"serial", certificate.serial},
          {"subject", certificate.subject},
          {"state", state},
          {"node", certificate.node},
          {"not_before", ShowTime(certificate.not_before)},
          {"not_after", ShowTime(certificate.not_after)},
          {"issuer_key", certificate.issuer_key},
          {"requester", certificate.requester},
          {"sha256", certificate.certificate},
          {"audit_entry", certificate.sequence}};
}

// Printed while they are read: there may be very many.
absl::Status List(const CertificateOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  json::array array;
  Table table({"SERIAL", "SUBJECT", "NODE", "STATE", "UNTIL"});
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Certificate> page,
                     context.reader().Certificates(after, kPage));
    for (const Certificate& certificate : page) {
      const std::string text = StateOf(certificate, state);
      if (text == "expired" && !options.all) continue;
      if (!options.id.empty() && certificate.subject != options.id) continue;
      table.Add({certificate.serial, certificate.subject,
                 certificate.node.empty() ? "-" : certificate.node, text,
                 ShowTime(certificate.not_after)});
      if (options.json) array.push_back(Describe(certificate, text));
    }
    if (page.size() < kPage) break;
    after = page.back().serial;
  }
  if (options.json) {
    PrintJson(array);
  } else {
    table.Print();
  }
  return absl::OkStatus();
}

absl::Status Show(const CertificateOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  ASSIGN_OR_RETURN(const std::optional<Certificate> found,
                   context.reader().FindCertificate(absl::AsciiStrToLower(options.serial)));
  if (!found) return absl::NotFoundError(absl::StrCat("no certificate ", options.serial));
  const json::object object = Describe(*found, StateOf(*found, state));
  if (options.json) {
    PrintJson(object);
    return absl::OkStatus();
  }
  Table table({"FIELD", "VALUE"});
  for (const auto& [name, value] : object) {
    table.Add({std::string(name), value.is_string() ? std::string(value.get_string())
                                                    : absl::StrCat(value.get_int64())});
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

void AddCertificates(CLI::App& app, Action& action) {
  auto list_options = std::make_shared<CertificateOptions>();
  CLI::App* list = AddCommand(app, "list", "show the certificates that were issued", *list_options);
  AddJson(*list, *list_options);
  list->add_option("--id", list_options->id, "only those of this SPIFFE ID");
  list->add_flag("--all", list_options->all, "those that have expired, too");
  list->callback(
      [list_options, &action] { action = [list_options] { return List(*list_options); }; });

  auto show_options = std::make_shared<CertificateOptions>();
  CLI::App* show = AddCommand(app, "show", "show one certificate's record", *show_options);
  AddJson(*show, *show_options);
  show->add_option("SERIAL", show_options->serial)->required();
  show->callback(
      [show_options, &action] { action = [show_options] { return Show(*show_options); }; });
}

}  // namespace tombolo::ca
