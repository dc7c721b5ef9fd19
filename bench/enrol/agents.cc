// SPDX-License-Identifier: Apache-2.0
#include "enrol/agents.h"

#include <chrono>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "command/context.h"
#include "core/join_token.h"
#include "core/signers.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"
#include "tls/https.h"

namespace tombolo::bench {
namespace {

constexpr char kCluster[] = "east";
constexpr std::chrono::hours kLife{1};
// Of the ledger's queue.
constexpr std::size_t kTokensAtOnce = 1000;

absl::StatusOr<ca::IssuerPtr> OpenSigner(const ca::Context& context, const ca::TrustState& trust) {
  const ca::TrustAuthority* signer = trust.SignerFor(kCluster);
  if (signer == nullptr) return absl::NotFoundError(absl::StrCat("no cluster ", kCluster));
  return ca::OpenAuthority(*signer, context.keys, trust.trust_domain);
}

absl::StatusOr<tls::Credentials::Pem> MakeSvid(const tls::Issuer& issuer, const SpiffeId& id,
                                               const std::string& roots) {
  ASSIGN_OR_RETURN(const std::string key, tls::GenerateKey());
  ASSIGN_OR_RETURN(const std::string leaf,
                   issuer.IssueSvid(id, key, tls::Validity::FromNow(kLife)));
  return tls::Credentials::Pem{.chain = leaf + issuer.chain(),
                               .key = key,
                               .bundle = roots,
                               .chain_name = "SVID",
                               .key_name = "key",
                               .bundle_name = "roots"};
}

absl::StatusOr<std::string> MakeToken(const ca::Context& context, const SpiffeId& id,
                                      std::vector<std::future<absl::Status>>& added) {
  std::string text = ca::NewJoinToken();
  ASSIGN_OR_RETURN(const ca::Token token,
                   ca::MakeTokenRecord(text, id, context.config.trust_domain,
                                       std::chrono::system_clock::now() + kLife));
  auto done = std::make_shared<std::promise<absl::Status>>();
  added.push_back(done->get_future());
  context.ledger->AddToken(token, ca::Actor(), [done](const absl::StatusOr<ca::Committed>& made) {
    done->set_value(made.status());
  });
  return text;
}

absl::Status Await(std::vector<std::future<absl::Status>>& added) {
  absl::Status all;
  for (std::future<absl::Status>& one : added) all.Update(one.get());
  added.clear();
  return all;
}

absl::StatusOr<std::string> NewCsr(const SpiffeId& id) {
  ASSIGN_OR_RETURN(const std::string key, tls::GenerateKey());
  return tls::MakeCsr(key, id);
}

std::string RootsOf(const ca::TrustState& trust) {
  std::string roots;
  for (const ca::TrustRoot& root : trust.roots) roots += root.certificate;
  return roots;
}

}  // namespace

absl::StatusOr<Agents> MakeAgents(const std::string& config, std::size_t count, bool join) {
  ASSIGN_OR_RETURN(const ca::Context context, ca::OpenContext(config));
  ASSIGN_OR_RETURN(const ca::StoredTrust stored, ca::ReadTrust(context.reader()));
  ASSIGN_OR_RETURN(const ca::IssuerPtr issuer, OpenSigner(context, stored.trust));
  const std::string& domain = context.config.trust_domain;
  ASSIGN_OR_RETURN(const SpiffeId server, SpiffeId::ForAuthority(domain));
  const tls::TrustBundle trust{.trust_domain = domain, .roots = RootsOf(stored.trust)};
  ASSIGN_OR_RETURN(const identity::HttpsContextPtr nobody,
                   tls::HttpsContext::ForClient(trust, server, std::nullopt));
  const net::SocketAddress& listen = context.config.serve.listen;
  Agents made{.authority = {.host = listen.ip.ToString(), .port = listen.port}, .agents = {}};
  std::vector<std::future<absl::Status>> added;
  for (std::size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::ForNode(domain, kCluster, absl::StrCat("n", i)));
    Agent agent{.context = nobody, .csr = {}, .token = {}};
    ASSIGN_OR_RETURN(agent.csr, NewCsr(id));
    if (join) {
      ASSIGN_OR_RETURN(agent.token, MakeToken(context, id, added));
      if (added.size() >= kTokensAtOnce) RETURN_IF_ERROR(Await(added));
    } else {
      ASSIGN_OR_RETURN(tls::Credentials::Pem own, MakeSvid(*issuer, id, trust.roots));
      ASSIGN_OR_RETURN(agent.context, tls::HttpsContext::ForClient(trust, server, std::move(own)));
    }
    made.agents.push_back(std::move(agent));
  }
  RETURN_IF_ERROR(Await(added));
  return made;
}

std::unique_ptr<identity::EstClient> NewClient(asio::io_context& io, const Agents& agents) {
  return std::make_unique<identity::EstClient>(io.get_executor(),
                                               std::vector<net::HttpsUrl>{agents.authority},
                                               identity::EstClient::Deadlines());
}

Awaitable<absl::Status> Attempt(identity::EstClient& client, const Agent& agent) {
  absl::StatusOr<std::string> chain;
  if (agent.token.empty()) {
    chain = co_await client.Reenroll(agent.context, agent.csr);
  } else {
    chain = co_await client.Enroll(agent.context, agent.csr, agent.token);
  }
  co_return chain.status();
}

}  // namespace tombolo::bench
