// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/rotation.h"
#include "core/setup.h"

// Authorities below a root that somebody else keeps.
namespace tombolo::ca {
namespace {

struct IntermediateOptions : CommonOptions {
  std::string cluster, key, file;
};

absl::Status MakeCsr(const IntermediateOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const AuthorityRequest request,
                   MakeAuthorityRequest(context.config.trust_domain, options.cluster, options.key,
                                        context.keys));
  if (options.file.empty()) {
    Print(request.csr);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ReplaceFile(options.file, request.csr, 0644));
  Print(absl::StrCat("wrote ", options.file, "; its key is ", request.key));
  return absl::OkStatus();
}

// So that it is seen in lists, and its number is known as no leaf's. Others number by themselves:
// where two have the same number, the first is kept.
absl::Status Record(Context& context, const TrustAuthority& authority) {
  ASSIGN_OR_RETURN(const Certificate record, RecordOfInstalled(authority));
  ASSIGN_OR_RETURN(const std::optional<Certificate> there,
                   context.reader().FindCertificate(record.serial));
  if (there && there->certificate == record.certificate) return absl::OkStatus();
  if (there) {
    Print(absl::StrCat("it has the serial number of another certificate, '", there->subject,
                       "', so 'list' does not show it"));
    return absl::OkStatus();
  }
  const absl::Status installed = Ledger::Await([&](Ledger::Done done) {
                                   context.ledger->Install(record, Actor(), std::move(done));
                                 }).status();
  return Annotate(installed, "it is installed, but not recorded: give the command again");
}

absl::Status Install(const IntermediateOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const std::string chain, ReadFile(options.file));
  ASSIGN_OR_RETURN(const StoredTrust stored, ReadTrust(context.reader()));
  ASSIGN_OR_RETURN(const TrustAuthority authority,
                   ReadForeignAuthority(chain, options.file, options.cluster, options.key,
                                        context.keys, stored.trust));
  ASSIGN_OR_RETURN(const TrustState next, InstallAuthority(stored.trust, authority));
  RETURN_IF_ERROR(WriterOf(context).Put(next, stored.revision));
  RETURN_IF_ERROR(Record(context, authority));
  Print(absl::StrCat("installed the authority of ",
                     options.cluster.empty() ? "the server" : options.cluster, " below root ",
                     authority.root.substr(0, 8), " (", Name(next.FindRoot(authority.root)->state),
                     ")"));
  return absl::OkStatus();
}

}  // namespace

void AddIntermediates(CLI::App& app, Action& action) {
  auto csr_options = std::make_shared<IntermediateOptions>();
  CLI::App* csr = AddCommand(
      app, "csr", "make the request for an authority that another one is to sign", *csr_options);
  csr->add_option("CLUSTER", csr_options->cluster, "left out: the authority of the server itself");
  csr->add_option("--key", csr_options->key, "such as pkcs11:... (default: a new file)");
  csr->add_option("--out", csr_options->file, "file (default: standard output)");
  csr->callback(
      [csr_options, &action] { action = [csr_options] { return MakeCsr(*csr_options); }; });

  auto options = std::make_shared<IntermediateOptions>();
  CLI::App* install =
      AddCommand(app, "install", "take the certificate that was made for a request", *options);
  install->add_option("CLUSTER", options->cluster, "as with csr");
  install->add_option("--certificate", options->file, "PEM: it, then those between it and a root")
      ->required();
  install->add_option("--key", options->key, "as with csr");
  install->callback([options, &action] { action = [options] { return Install(*options); }; });
}

}  // namespace tombolo::ca
