// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "config/ca_config.h"
#include "core/key_store.h"
#include "core/stored_state.h"
#include "core/trust_state.h"
#include "core/trust_writer.h"
#include "ledger/ledger.h"
#include "store/store.h"

// What the commands of tombolo-ca have in common. They work on the store itself, beside servers.
namespace tombolo::ca {

// What the command line asks for: set while it is read, and run afterwards.
using Action = std::function<absl::Status()>;

// The options that every command has. CLI11 fills them in, so they stay where they are.
struct CommonOptions {
  std::string config = "/etc/tombolo/ca.yaml";
  bool json = false;
};

// A command below `parent`, with --config.
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     CommonOptions& options);
void AddJson(CLI::App& command, CommonOptions& options);

struct Context {
  CaConfig config;
  KeyStore keys;
  std::shared_ptr<Store> store;
  std::unique_ptr<Ledger> ledger;

  Reader reader() const { return Reader(*store); }
  absl::StatusOr<StoredState> State() const;  // all that the store says
};
absl::StatusOr<Context> OpenContext(const std::string& config_path);

// Who gives commands, for the audit log.
std::string Actor();

// Changes the trust bundle, in the name of whoever gives the command.
TrustWriter WriterOf(const Context& context);
// Records a certificate that was made by a command.
absl::Status RecordCertificate(Context& context, const Certificate& certificate);

}  // namespace tombolo::ca
