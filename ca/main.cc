// SPDX-License-Identifier: Apache-2.0
// tombolo-ca: the certificate authority, as a command for now.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "authority.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

struct Options {
  std::string directory;
  std::string trust_domain;
  std::string spiffe_id;
  std::string out;
  std::string ttl = "1h";
};

absl::Status Init(const Options& options) {
  RETURN_IF_ERROR(Authority::Init(options.directory, options.trust_domain));
  std::printf("made the root of trust domain %s in %s\n", options.trust_domain.c_str(),
              options.directory.c_str());
  return absl::OkStatus();
}

absl::Status Issue(const Options& options) {
  absl::Duration ttl;
  if (!absl::ParseDuration(options.ttl, &ttl)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ttl: '", options.ttl, "' is not a duration such as 90m or 1h"));
  }
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(options.spiffe_id));
  ASSIGN_OR_RETURN(const Authority authority, Authority::Open(options.directory));
  ASSIGN_OR_RETURN(const Svid svid, authority.Issue(id, absl::ToChronoSeconds(ttl)));
  RETURN_IF_ERROR(WriteSvid(options.out, svid));
  std::printf(
      "issued %s in %s, valid until %s\n", id.text().c_str(), options.out.c_str(),
      absl::FormatTime(absl::RFC3339_sec, absl::FromChrono(svid.not_after), absl::UTCTimeZone())
          .c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Tombolo's certificate authority", "tombolo-ca");
  app.require_subcommand(1);
  CLI::App* init = app.add_subcommand("init", "make the root of a trust domain, once");
  init->add_option("--trust-domain", options.trust_domain, "such as tombolo.example")->required();
  init->add_option("--dir", options.directory, "keeps root.pem and root.key")->required();
  CLI::App* issue = app.add_subcommand("issue", "write svid.pem, key.pem and bundle.pem");
  issue->add_option("--dir", options.directory, "of init")->required();
  issue->add_option("--spiffe-id", options.spiffe_id, "spiffe://<trust-domain>/<path>")->required();
  issue->add_option("--out", options.out, "directory, made if absent")->required();
  issue->add_option("--ttl", options.ttl, "5m to 24h")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = init->parsed() ? Init(options) : Issue(options);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "tombolo-ca: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace tombolo::ca

int main(int argc, char** argv) { return tombolo::ca::Main(argc, argv); }
