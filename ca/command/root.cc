// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/new_authorities.h"
#include "command/output.h"
#include "core/acks.h"
#include "core/place.h"
#include "core/rotation.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

struct RootOptions : CommonOptions {
  bool undo = false, force = false, dry_run = false;
  std::string key, certificate;  // of prepare
};

// One command of a rotation: what it does, and how that is taken back.
struct Command {
  const char* name;
  const char* description;
  RotationStep step;
  std::optional<RotationStep> undo;
  const char* done;  // what to say afterwards
};
constexpr Command kCommands[] = {
    {"prepare", "add a second root to the trust bundle", RotationStep::kPrepare,
     RotationStep::kUndoPrepare,
     "both roots and their authorities are in the trust bundle; next: activate"},
    {"activate", "sign below the new root from now on", RotationStep::kActivate,
     RotationStep::kUndoActivate, "the new root's authorities sign; next: taint"},
    {"taint", "let agents renew what the old root vouches for", RotationStep::kTaint,
     RotationStep::kUndoTaint, "agents renew now; next: revoke"},
    {"revoke", "remove the old root, for good", RotationStep::kRevoke, std::nullopt,
     "the old root and its authorities have left the trust bundle"},
};

// With the authorities below the new root, if its key is here: agents are to know them before
// anything is signed by them. What it makes goes into `made`.
absl::StatusOr<TrustState> Prepare(const RootOptions& options, Context& context,
                                   const TrustState& trust, NewKeys& made) {
  ASSIGN_OR_RETURN(TrustRoot root, ChooseRoot(context, options.key, options.certificate, made));
  std::vector<TrustAuthority> authorities;
  if (!root.key.empty()) {
    ASSIGN_OR_RETURN(authorities,
                     MakeAuthorities(context, root, ClustersWithout(trust, root.id), made));
  }
  return PrepareRoot(trust, std::move(root), std::move(authorities));
}

absl::StatusOr<TrustState> Take(RotationStep step, const RootOptions& options, Context& context,
                                const TrustState& trust, NewKeys& made) {
  switch (step) {
    case RotationStep::kPrepare:
      return Prepare(options, context, trust, made);
    case RotationStep::kUndoPrepare:
      return UndoPrepare(trust);
    case RotationStep::kActivate:
      return ActivateRoot(trust);
    case RotationStep::kUndoActivate:
      return UndoActivate(trust);
    case RotationStep::kTaint:
      return TaintRoot(trust);
    case RotationStep::kUndoTaint:
      return UndoTaint(trust);
    case RotationStep::kRevoke:
      return RevokeRoot(trust);
  }
  return absl::InternalError("unknown step");
}

absl::Status ForgetNode(const Context& context, const std::string& node, const SpiffeId& id) {
  RETURN_IF_ERROR(ForgetAck(*context.store, node));
  return Ledger::Await([&](Ledger::Done done) {
           context.ledger->Note({.event = "node forgotten", .actor = Actor(), .subject = id.text()},
                                std::move(done));
         })
      .status();
}

// A node that has expired is not waited for, and what it holds is of no use to it once the old root
// is gone.
absl::Status ForgetExpired(const Context& context, const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes) {
    ASSIGN_OR_RETURN(const SpiffeId id, AgentAt(context.config.trust_domain, node));
    const absl::Status forgotten = ForgetNode(context, node, id);
    // It has just said what it holds, or another one has forgotten it.
    if (absl::IsAborted(forgotten) || absl::IsNotFound(forgotten)) continue;
    RETURN_IF_ERROR(forgotten);
  }
  return absl::OkStatus();
}

// The step has been taken, whatever comes of this.
void TryToForgetExpired(const Context& context, const std::vector<std::string>& nodes) {
  const absl::Status forgotten = ForgetExpired(context, nodes);
  if (forgotten.ok()) return;
  Print(absl::StrCat("warning: not all nodes that have expired are forgotten, which 'root forget' ",
                     "does, too: ", forgotten.message()));
}

absl::Status Run(const Command& command, const RootOptions& options) {
  ASSIGN_OR_RETURN(Context context, OpenContext(options.config));
  const RotationStep step = options.undo ? *command.undo : command.step;
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  // Before anything is made for it.
  RETURN_IF_ERROR(CheckTime(step, state.trust));
  ASSIGN_OR_RETURN(const RotationEvidence evidence,
                   ReadEvidence(*context.store, state, std::chrono::system_clock::now()));
  const Waiting waiting = WaitsFor(step, state.trust, evidence);
  if (!waiting.expired.empty()) Print(waiting.ExpiredText());
  if (options.dry_run) {
    Print(waiting.empty() ? "nothing would break" : waiting.Text());
    return absl::OkStatus();
  }
  if (!waiting.empty() && !options.force) {
    return absl::FailedPreconditionError(absl::StrCat(
        waiting.Text(), " (--force goes on all the same",
        waiting.agents.empty() ? "" : "; 'root forget' is for nodes that are gone for good", ")"));
  }
  NewKeys made(context.keys);
  ASSIGN_OR_RETURN(const TrustState next, Take(step, options, context, state.trust, made));
  RETURN_IF_ERROR(made.Settle(WriterOf(context).Put(next, state.trust_revision)));
  if (!waiting.empty()) Print(absl::StrCat("did not wait: ", waiting.Text()));
  Print(options.undo ? absl::StrCat("undone: ", command.name) : command.done);
  if (step == RotationStep::kPrepare || step == RotationStep::kRevoke) {
    TryToForgetExpired(context, waiting.expired);
  }
  return absl::OkStatus();
}

// What the state of a rotation waits for before its next step.
std::optional<RotationStep> NextStep(const TrustState& trust) {
  if (trust.other() == nullptr) return std::nullopt;
  switch (trust.other()->state) {
    case RootState::kPrepared:
      return RotationStep::kActivate;
    case RootState::kOld:
      return RotationStep::kTaint;
    case RootState::kTainted:
      return RotationStep::kRevoke;
    case RootState::kActive:
      break;
  }
  return std::nullopt;
}

json::array Names(const std::vector<std::string>& names) {
  return json::array(names.begin(), names.end());
}

absl::Status Status(const CommonOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  ASSIGN_OR_RETURN(const RotationEvidence evidence,
                   ReadEvidence(*context.store, state, std::chrono::system_clock::now()));
  const std::optional<RotationStep> next = NextStep(state.trust);
  const Waiting waiting = next ? WaitsFor(*next, state.trust, evidence) : Waiting{};
  json::array roots;
  Table table({"ROOT", "STATE", "KEY", "AUTHORITIES"});
  for (const TrustRoot& root : state.trust.roots) {
    std::int64_t below = 0;
    for (const TrustAuthority& authority : state.trust.authorities)
      below += authority.root == root.id;
    const std::string name(Name(root.state));
    table.Add({root.id.substr(0, 8), name, root.key.empty() ? "elsewhere" : root.key,
               absl::StrCat(below)});
    roots.push_back(
        json::object{{"id", root.id}, {"state", name}, {"key", root.key}, {"authorities", below}});
  }
  if (options.json) {
    PrintJson(json::object{{"trust_domain", state.trust.trust_domain},
                           {"sequence", state.sequence()},
                           {"roots", roots},
                           {"waiting_agents", Names(waiting.agents)},
                           {"expired_agents", Names(waiting.expired)},
                           {"waiting_identities", Names(waiting.identities)}});
    return absl::OkStatus();
  }
  table.Print();
  Print(absl::StrCat("trust bundle ", state.sequence()));
  if (next) Print(waiting.empty() ? "nothing waits" : absl::StrCat("waits: ", waiting.Text()));
  if (!waiting.expired.empty()) Print(waiting.ExpiredText());
  return absl::OkStatus();
}

struct ForgetOptions : CommonOptions {
  std::vector<std::string> nodes;
};

absl::Status Forget(const ForgetOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  for (const std::string& node : options.nodes) {
    ASSIGN_OR_RETURN(const SpiffeId id, AgentAt(context.config.trust_domain, node));
    RETURN_IF_ERROR(ForgetNode(context, node, id));
    Print(absl::StrCat("forgot ", node, ", until its agent asks again"));
  }
  return absl::OkStatus();
}

void AddForget(CLI::App& root, Action& action) {
  auto options = std::make_shared<ForgetOptions>();
  CLI::App* forget =
      AddCommand(root, "forget", "do not wait for nodes that are gone for good", *options);
  forget->add_option("NODE", options->nodes, "<cluster>/<node>")->required();
  forget->callback([options, &action] { action = [options] { return Forget(*options); }; });
}

void AddStep(CLI::App& root, const Command& command, Action& action) {
  auto options = std::make_shared<RootOptions>();
  CLI::App* step = AddCommand(root, command.name, command.description, *options);
  if (command.undo) step->add_flag("--undo", options->undo, "take it back");
  step->add_flag("--force", options->force, "do not wait for anybody");
  step->add_flag("--dry-run", options->dry_run, "only say what would break");
  if (command.step == RotationStep::kPrepare) {
    CLI::Option* key = step->add_option("--key", options->key,
                                        "the new root's key, such as pkcs11:... (default: a file)");
    step->add_option("--certificate", options->certificate, "a root whose key is elsewhere, PEM")
        ->excludes(key);
  }
  step->callback([options, command, &action] {
    action = [options, command] { return Run(command, *options); };
  });
}

}  // namespace

void AddRoots(CLI::App& app, Action& action) {
  CLI::App* root = app.add_subcommand("root", "give the trust domain another root, step by step");
  root->require_subcommand(1);
  for (const Command& command : kCommands) AddStep(*root, command, action);
  AddForget(*root, action);
  AddRootExport(*root, action);
  auto options = std::make_shared<CommonOptions>();
  CLI::App* status = AddCommand(*root, "status", "show the roots, and who is waited for", *options);
  AddJson(*status, *options);
  status->callback([options, &action] { action = [options] { return Status(*options); }; });
}

}  // namespace tombolo::ca
