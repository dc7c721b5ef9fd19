// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "authority.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/new_authorities.h"
#include "command/output.h"
#include "core/setup.h"

namespace tombolo::ca {
namespace {

struct InitOptions : CommonOptions {
  std::string directory, trust_domain, root_key, root_certificate;
};

// The trust document, with the authority that signs for the server if the root can sign it.
absl::Status WriteTrust(Context& context, TrustRoot root, NewKeys& made) {
  TrustState state{.trust_domain = context.config.trust_domain,
                   .roots = {std::move(root)},
                   .authorities = {},
                   .federated = {}};
  const absl::StatusOr<StoredTrust> there = ReadTrust(context.reader());
  if (there.ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat("the store has the trust domain '", there->trust.trust_domain, "' already"));
  }
  if (!absl::IsNotFound(there.status())) return there.status();
  if (!state.active().key.empty()) {
    ASSIGN_OR_RETURN(state.authorities, MakeAuthorities(context, state.active(), {""}, made));
  }
  return made.Settle(WriterOf(context).Put(state, 0));
}

// Everything below one directory, which the store, keys and configuration are in.
absl::Status InitDirectory(const InitOptions& options) {
  if (options.trust_domain.empty()) return absl::InvalidArgumentError("--trust-domain is missing");
  const std::string config = absl::StrCat(options.directory, "/ca.yaml");
  RETURN_IF_ERROR(Authority::Init(options.directory, options.trust_domain));
  // Only what this has made.
  std::vector<std::string> files = {absl::StrCat(options.directory, "/root.key"),
                                    absl::StrCat(options.directory, "/root.pem")};
  absl::Cleanup undo = [&] {
    for (const std::string& file : files) unlink(file.c_str());
  };
  RETURN_IF_ERROR(CreateFile(config, DefaultCaConfig(options.trust_domain), 0644));
  files.push_back(config);
  ASSIGN_OR_RETURN(Context context, OpenContext(config));
  ASSIGN_OR_RETURN(const std::string certificate,
                   ReadFile(absl::StrCat(options.directory, "/root.pem")));
  ASSIGN_OR_RETURN(TrustRoot root, ForeignRoot(certificate, "root.pem", options.trust_domain));
  root.key = "root.key";
  NewKeys made(context.keys);
  const absl::Status written = WriteTrust(context, std::move(root), made);
  // When nobody knows (Unknown) the document may be there, and needs the key.
  if (written.ok() || absl::IsUnknown(written)) std::move(undo).Cancel();
  RETURN_IF_ERROR(written);
  Print(absl::StrCat("made the root of trust domain ", options.trust_domain, " in ",
                     options.directory));
  return absl::OkStatus();
}

absl::Status InitConfigured(const InitOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  const std::string& trust_domain = context.config.trust_domain;
  if (!options.trust_domain.empty() && options.trust_domain != trust_domain) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.config, " is of trust domain '", trust_domain, "'"));
  }
  if (ReadTrust(context.reader()).ok()) {
    return absl::AlreadyExistsError("the store has a trust domain already");
  }
  NewKeys made(context.keys);
  ASSIGN_OR_RETURN(TrustRoot root,
                   ChooseRoot(context, options.root_key, options.root_certificate, made));
  const std::string id = root.id;
  RETURN_IF_ERROR(WriteTrust(context, std::move(root), made));
  Print(absl::StrCat("made trust domain ", trust_domain, " with root ", id.substr(0, 8)));
  if (!options.root_certificate.empty()) {
    Print("its key is elsewhere: 'tombolo-ca csr' makes the request for the server's authority");
  }
  return absl::OkStatus();
}

}  // namespace

void AddInit(CLI::App& app, Action& action) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* init = AddCommand(app, "init", "make a trust domain, once", *options);
  init->add_option("--trust-domain", options->trust_domain, "such as tombolo.example");
  CLI::Option* directory = init->add_option(
      "--dir", options->directory, "keep everything there, with a new ca.yaml instead of --config");
  CLI::Option* key = init->add_option("--root-key", options->root_key,
                                      "the root's key, such as pkcs11:... (default: a new file)");
  CLI::Option* certificate = init->add_option("--root-certificate", options->root_certificate,
                                              "a root whose key is elsewhere, PEM");
  certificate->excludes(key);
  directory->excludes(key)->excludes(certificate);
  init->callback([options, &action] {
    action = [options] {
      return options->directory.empty() ? InitConfigured(*options) : InitDirectory(*options);
    };
  });
}

}  // namespace tombolo::ca
