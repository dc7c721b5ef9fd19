// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/rotation.h"

namespace tombolo::ca {
namespace {

struct FederateOptions : CommonOptions {
  std::string trust_domain, file;
};

absl::Status AddOne(const FederateOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const std::string bundle, ReadFile(options.file));
  ASSIGN_OR_RETURN(const StoredTrust stored, ReadTrust(context.reader()));
  ASSIGN_OR_RETURN(const TrustState next, Federate(stored.trust, options.trust_domain, bundle));
  RETURN_IF_ERROR(WriterOf(context).Put(next, stored.revision));
  Print(absl::StrCat("the trust bundle has the one of ", options.trust_domain));
  return absl::OkStatus();
}

absl::Status Remove(const FederateOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredTrust stored, ReadTrust(context.reader()));
  ASSIGN_OR_RETURN(const TrustState next, Unfederate(stored.trust, options.trust_domain));
  RETURN_IF_ERROR(WriterOf(context).Put(next, stored.revision));
  Print(absl::StrCat("removed ", options.trust_domain));
  return absl::OkStatus();
}

}  // namespace

void AddFederation(CLI::App& app, Action& action) {
  CLI::App* federate = app.add_subcommand("federate", "trust bundles of other trust domains");
  federate->require_subcommand(1);
  auto add_options = std::make_shared<FederateOptions>();
  CLI::App* add =
      AddCommand(*federate, "add", "carry another's bundle, or its new one", *add_options);
  add->add_option("TRUST_DOMAIN", add_options->trust_domain)->required();
  add->add_option("FILE", add_options->file, "its bundle: SPIFFE document or PEM")->required();
  add->callback(
      [add_options, &action] { action = [add_options] { return AddOne(*add_options); }; });

  auto options = std::make_shared<FederateOptions>();
  CLI::App* remove = AddCommand(*federate, "remove", "carry it no longer", *options);
  remove->add_option("TRUST_DOMAIN", options->trust_domain)->required();
  remove->callback([options, &action] { action = [options] { return Remove(*options); }; });
}

}  // namespace tombolo::ca
