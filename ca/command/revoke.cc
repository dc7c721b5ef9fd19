// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
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

// What is revoked by a command, as its record will have it.
absl::StatusOr<Revocation> RevocationOf(const RevokeOptions& options, const Context& context) {
  ASSIGN_OR_RETURN(const std::string subject,
                   RevocationSubject(options.kind, options.name, context.config.trust_domain));
  return Revocation{.kind = options.kind, .subject = subject, .reason = options.reason, .time = {}};
}

// What it comes to, as servers will publish it.
absl::Status Tell(absl::string_view what, const Revocation& revocation, const StoredState& state) {
  Print(absl::StrCat(what, " ", KindText(revocation.kind), " ", revocation.subject,
                     "; trust bundle ", state.sequence(), " says so"));
  return absl::OkStatus();
}

absl::Status RevokeOne(const RevokeOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  // First: an authority's number need not look like a leaf's.
  RETURN_IF_ERROR(CheckMayBeRevoked(options.kind, options.name, context.reader()));
  ASSIGN_OR_RETURN(const Revocation revocation, RevocationOf(options, context));
  RETURN_IF_ERROR(WriterOf(context).Revoke(revocation));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  return Tell("revoked", revocation, state);
}

absl::Status UnrevokeOne(const RevokeOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const Revocation revocation, RevocationOf(options, context));
  RETURN_IF_ERROR(WriterOf(context).Unrevoke(revocation));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(revocation.subject);
  if (!id.ok() || !state.revoked.set.clusters.contains(std::string(id->name().cluster))) {
    return Tell("trusts again", revocation, state);
  }
  return Tell("does not trust yet, as its cluster is still revoked:", revocation, state);
}

using Handler = absl::Status (*)(const RevokeOptions&);

void AddKinds(CLI::App& above, Handler handler, Action& action) {
  above.require_subcommand(1);
  const std::pair<Kind, const char*> kinds[] = {
      {Kind::kWorkload, "an identity, by its SPIFFE ID"},
      {Kind::kNode,
       "a node and all it was given: <cluster>/<node>; or <cluster>/gateway/<gateway>"},
      {Kind::kCluster, "everything of a cluster"},
      {Kind::kSerial, "one certificate"}};
  for (const auto& [kind, description] : kinds) {
    auto options = std::make_shared<RevokeOptions>();
    options->kind = kind;
    CLI::App* command = AddCommand(above, std::string(KindText(kind)), description, *options);
    command->add_option("NAME", options->name)->required();
    command->add_option("--reason", options->reason, "for the records")->required();
    command->callback(
        [options, handler, &action] { action = [options, handler] { return handler(*options); }; });
  }
}

}  // namespace

void AddRevoke(CLI::App& app, Action& action) {
  AddKinds(*app.add_subcommand("revoke", "let nobody trust somebody any longer"), RevokeOne,
           action);
  AddKinds(*app.add_subcommand("unrevoke",
                               "take back what was revoked: what it was given and has "
                               "not expired is good again"),
           UnrevokeOne, action);
}

}  // namespace tombolo::ca
