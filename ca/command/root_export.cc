// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/publication.h"

// What agents, and others that verify peers, are given to begin with.
namespace tombolo::ca {
namespace {

struct ExportOptions : CommonOptions {
  bool bundle = false, intermediates = false;
  std::string file;
};

// Never together with the roots: whoever takes both for roots would let an authority sign for
// other clusters than its own.
std::string IntermediatesOf(const TrustState& trust) {
  std::string pem;
  for (const TrustAuthority& authority : trust.authorities) {
    if (authority.root == trust.active().id) absl::StrAppend(&pem, authority.chain);
  }
  return pem;
}

absl::Status Export(const ExportOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  // As servers publish it.
  ASSIGN_OR_RETURN(const Publication published,
                   Publish(state.trust, state.revoked.set, state.sequence()));
  std::string text = options.bundle ? published.document : published.roots;
  if (options.intermediates) text = IntermediatesOf(state.trust);
  if (options.file.empty()) {
    Print(std::string(absl::StripSuffix(text, "\n")));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ReplaceFile(options.file, text, 0644));
  Print(absl::StrCat("wrote ", options.file));
  return absl::OkStatus();
}

}  // namespace

void AddRootExport(CLI::App& root, Action& action) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = AddCommand(root, "export", "write the roots of now in PEM", *options);
  CLI::Option* bundle =
      command->add_flag("--bundle", options->bundle,
                        "the trust bundle instead: it says, too, who signs for which cluster and "
                        "what is revoked");
  command
      ->add_flag("--intermediates", options->intermediates,
                 "the authorities that sign now instead, with those between them and the root")
      ->excludes(bundle);
  command->add_option("--out", options->file, "file (default: standard output)");
  command->callback([options, &action] { action = [options] { return Export(*options); }; });
}

}  // namespace tombolo::ca
