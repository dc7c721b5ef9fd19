// SPDX-License-Identifier: Apache-2.0
#include "command/context.h"

#include <pwd.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "store/open.h"

namespace tombolo::ca {

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     CommonOptions& options) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->add_option("--config", options.config, "the authority's ca.yaml")->capture_default_str();
  return command;
}

void AddJson(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "for programs");
}

absl::StatusOr<StoredState> Context::State() const {
  return StoredStateReader().Read(reader(), std::chrono::system_clock::now());
}

absl::StatusOr<Context> OpenContext(const std::string& config_path) {
  // A time to live that only tests may have is no matter here.
  ASSIGN_OR_RETURN(CaConfig config, LoadCaConfig(config_path, std::chrono::seconds(1)));
  Context context{.config = config, .keys = KeyStore(config.keys), .store = {}, .ledger = {}};
  ASSIGN_OR_RETURN(context.store, OpenStore(config.store));
  ASSIGN_OR_RETURN(context.ledger, Ledger::Open(context.store, {}));
  return context;
}

std::string Actor() {
  const uid_t uid = getuid();
  const passwd* user = getpwuid(uid);
  return user == nullptr ? absl::StrCat("uid ", uid) : absl::StrCat("operator ", user->pw_name);
}

TrustWriter WriterOf(const Context& context) {
  return TrustWriter(*context.store, *context.ledger, Actor());
}

absl::Status RecordCertificate(Context& context, const Certificate& certificate) {
  return Ledger::Await([&](Ledger::Done done) {
           context.ledger->Issue(certificate, std::nullopt, Actor(), std::move(done));
         })
      .status();
}

}  // namespace tombolo::ca
