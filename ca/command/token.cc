// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "command/output.h"
#include "core/join_token.h"
#include "source/values.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr std::size_t kPage = 500;
constexpr std::size_t kMinPrefix = 8;

struct TokenOptions : CommonOptions {
  std::string id, ttl = "1h", digest;
};

absl::StatusOr<std::vector<Token>> AllTokens(const Reader& reader) {
  std::vector<Token> tokens;
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Token> page, reader.Tokens(after, kPage));
    tokens.insert(tokens.end(), page.begin(), page.end());
    if (page.size() < kPage) return tokens;
    after = page.back().digest;
  }
}

absl::Status AddOne(const TokenOptions& options) {
  ASSIGN_OR_RETURN(const Duration ttl, source::ParseDeadline(options.ttl));
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(options.id));
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const StoredState state, context.State());
  RETURN_IF_ERROR(state.revoked.set.Check(id, ""));
  const std::string cluster(id.name().cluster);
  if (state.trust.SignerFor(cluster) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("cluster '", cluster, "' has no authority: 'tombolo-ca cluster add' first"));
  }
  const std::string text = NewJoinToken();
  ASSIGN_OR_RETURN(const Token token, MakeTokenRecord(text, id, context.config.trust_domain,
                                                      std::chrono::system_clock::now() + ttl));
  RETURN_IF_ERROR(Ledger::Await([&](Ledger::Done done) {
                    context.ledger->AddToken(token, Actor(), std::move(done));
                  }).status());
  // The only time that anybody sees it.
  Print(text);
  return absl::OkStatus();
}

std::string StateOf(const Token& token) {
  if (token.spent) return "spent";
  return token.expires <= std::chrono::system_clock::now() ? "expired" : "good";
}

absl::Status List(const CommonOptions& options) {
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const std::vector<Token> tokens, AllTokens(context.reader()));
  json::array array;
  Table table({"DIGEST", "FOR", "STATE", "EXPIRES", "CERTIFICATE"});
  for (const Token& token : tokens) {
    table.Add({token.digest.substr(0, 16), token.subject, StateOf(token), ShowTime(token.expires),
               token.serial.empty() ? "-" : token.serial});
    array.push_back(json::object{{"digest", token.digest},
                                 {"subject", token.subject},
                                 {"state", StateOf(token)},
                                 {"expires", ShowTime(token.expires)},
                                 {"serial", token.serial}});
  }
  if (options.json) {
    PrintJson(array);
  } else {
    table.Print();
  }
  return absl::OkStatus();
}

absl::Status Remove(const TokenOptions& options) {
  if (options.digest.size() < kMinPrefix) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", options.digest, "' is shorter than ", kMinPrefix, " digits"));
  }
  ASSIGN_OR_RETURN(const Context context, OpenContext(options.config));
  ASSIGN_OR_RETURN(const std::vector<Token> tokens, AllTokens(context.reader()));
  std::vector<std::string> found;
  for (const Token& token : tokens) {
    if (absl::StartsWith(token.digest, options.digest)) found.push_back(token.digest);
  }
  if (found.size() != 1) {
    return absl::NotFoundError(
        absl::StrCat(found.size(), " tokens have a digest that begins with ", options.digest));
  }
  RETURN_IF_ERROR(Ledger::Await([&](Ledger::Done done) {
                    context.ledger->RemoveToken(found[0], Actor(), std::move(done));
                  }).status());
  Print(absl::StrCat("removed ", found[0]));
  return absl::OkStatus();
}

}  // namespace

void AddTokens(CLI::App& app, Action& action) {
  CLI::App* token = app.add_subcommand("token", "join tokens, each good for one certificate");
  token->require_subcommand(1);
  auto options = std::make_shared<TokenOptions>();
  CLI::App* add =
      AddCommand(*token, "add", "make one, and print it: it is shown this once", *options);
  add->add_option("ID", options->id, "the SPIFFE ID of a node or workload")->required();
  add->add_option("--ttl", options->ttl, "how long it can be used, at most 24h")
      ->capture_default_str();
  add->callback([options, &action] { action = [options] { return AddOne(*options); }; });

  auto list_options = std::make_shared<CommonOptions>();
  CLI::App* list = AddCommand(*token, "list", "show them, by their digests", *list_options);
  AddJson(*list, *list_options);
  list->callback(
      [list_options, &action] { action = [list_options] { return List(*list_options); }; });

  auto remove_options = std::make_shared<TokenOptions>();
  CLI::App* remove = AddCommand(*token, "remove", "take one back", *remove_options);
  remove->add_option("DIGEST", remove_options->digest, "or how it begins")->required();
  remove->callback(
      [remove_options, &action] { action = [remove_options] { return Remove(*remove_options); }; });
}

}  // namespace tombolo::ca
