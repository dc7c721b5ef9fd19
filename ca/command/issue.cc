// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "authority.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/issuance.h"
#include "core/place.h"
#include "core/signers.h"
#include "tls/certificate_builder.h"
#include "tls/signing_key.h"

// Certificates without a server, for machines that an operator looks after by hand.
namespace tombolo::ca {
namespace {

struct IssueOptions : CommonOptions {
  std::string directory, spiffe_id, out, ttl = "1h";
};

// A cluster's own authority, where there is one: agents that know which key is whose accept no
// other. Whatever has none, the root signs.
absl::StatusOr<IssuerPtr> SignerOf(const Context& context, const TrustState& trust,
                                   const SpiffeId& id) {
  const std::string cluster(id.name().cluster);
  const TrustAuthority* authority = cluster.empty() ? nullptr : trust.SignerFor(cluster);
  if (authority == nullptr) return OpenRoot(trust.active(), context.keys, trust.trust_domain);
  return OpenAuthority(*authority, context.keys, trust.trust_domain);
}

absl::StatusOr<Svid> IssueRecorded(const std::string& config, const SpiffeId& id,
                                   std::chrono::seconds ttl) {
  RETURN_IF_ERROR(CheckTtl(ttl));
  ASSIGN_OR_RETURN(Context context, OpenContext(config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  RETURN_IF_ERROR(state.revoked.set.Check(id, ""));
  ASSIGN_OR_RETURN(const IssuerPtr issuer, SignerOf(context, state.trust, id));
  Svid svid;
  ASSIGN_OR_RETURN(svid.key, tls::GenerateKey());
  ASSIGN_OR_RETURN(const tls::SigningKey key, tls::SigningKey::FromPem(svid.key, "new key"));
  ASSIGN_OR_RETURN(
      const Issuance made,
      IssueLeaf(*issuer,
                {.id = id, .key = key.public_key(), .requester = "a command", .node = PlaceOf(id)},
                ttl, std::chrono::system_clock::now()));
  RETURN_IF_ERROR(Ledger::Await([&](Ledger::Done done) {
                    context.ledger->Issue(made.record, std::nullopt, state.basis, Actor(),
                                          std::move(done));
                  }).status());
  svid.certificate = absl::StrCat(made.leaf, made.chain);
  svid.not_after = made.record.not_after;
  for (const TrustRoot& root : state.trust.roots) absl::StrAppend(&svid.bundle, root.certificate);
  return svid;
}

// One that has never been more than a root's two files.
absl::StatusOr<Svid> IssueByRoot(const std::string& directory, const SpiffeId& id,
                                 std::chrono::seconds ttl) {
  ASSIGN_OR_RETURN(const Authority authority, Authority::Open(directory));
  return authority.Issue(id, ttl);
}

absl::Status Issue(const IssueOptions& options) {
  absl::Duration ttl;
  if (!absl::ParseDuration(options.ttl, &ttl)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ttl: '", options.ttl, "' is not a duration such as 90m or 1h"));
  }
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(options.spiffe_id));
  const std::string in_directory = absl::StrCat(options.directory, "/ca.yaml");
  const bool by_root = !options.directory.empty() && !std::filesystem::exists(in_directory);
  const std::string& config = options.directory.empty() ? options.config : in_directory;
  ASSIGN_OR_RETURN(const Svid svid,
                   by_root ? IssueByRoot(options.directory, id, absl::ToChronoSeconds(ttl))
                           : IssueRecorded(config, id, absl::ToChronoSeconds(ttl)));
  RETURN_IF_ERROR(WriteSvid(options.out, svid));
  Print(absl::StrCat("issued ", id.text(), " in ", options.out, ", valid until ",
                     ShowTime(svid.not_after)));
  return absl::OkStatus();
}

}  // namespace

void AddIssue(CLI::App& app, Action& action) {
  auto options = std::make_shared<IssueOptions>();
  CLI::App* issue = AddCommand(
      app, "issue", "write svid.pem, key.pem and bundle.pem, without a server", *options);
  issue->add_option("--dir", options->directory, "of init --dir, instead of --config");
  issue->add_option("--spiffe-id", options->spiffe_id, "spiffe://<trust-domain>/<path>")
      ->required();
  issue->add_option("--out", options->out, "directory, made if absent")->required();
  issue->add_option("--ttl", options->ttl, "5m to 24h")->capture_default_str();
  issue->callback([options, &action] { action = [options] { return Issue(*options); }; });
}

}  // namespace tombolo::ca
