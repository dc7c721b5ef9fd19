// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/revoked.h"

namespace tombolo::ca {
namespace {

struct RevokeOptions : CommonOptions {
  Kind kind = Kind::kWorkload;
  std::string name, reason;
};

absl::Status RevokeOne(const RevokeOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const std::string subject,
                   RevocationSubject(options.kind, options.name, context.config.trust_domain));
  RETURN_IF_ERROR(
      Ledger::Await([&](Ledger::Done done) {
        context.ledger->Revoke(
            {.kind = options.kind, .subject = subject, .reason = options.reason, .time = {}},
            Actor(), std::move(done));
      }).status());
  // What it comes to, as servers will publish it.
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  Print(absl::StrCat("revoked ", KindText(options.kind), " ", subject, "; trust bundle ",
                     state.sequence(), " says so"));
  return absl::OkStatus();
}

void AddKind(CLI::App& revoke, Kind kind, const std::string& description, Action& action) {
  auto options = std::make_shared<RevokeOptions>();
  options->kind = kind;
  CLI::App* command = AddCommand(revoke, std::string(KindText(kind)), description, *options);
  command->add_option("NAME", options->name)->required();
  command->add_option("--reason", options->reason, "for the records")->required();
  command->callback([options, &action] { action = [options] { return RevokeOne(*options); }; });
}

}  // namespace

void AddRevoke(CLI::App& app, Action& action) {
  CLI::App* revoke = app.add_subcommand("revoke", "let nobody trust somebody any longer, for good");
  revoke->require_subcommand(1);
  AddKind(*revoke, Kind::kWorkload, "an identity, by its SPIFFE ID", action);
  AddKind(*revoke, Kind::kNode, "a node and all it was given: <cluster>/<node>", action);
  AddKind(*revoke, Kind::kCluster, "everything of a cluster", action);
  AddKind(*revoke, Kind::kSerial, "one certificate", action);
}

}  // namespace tombolo::ca
