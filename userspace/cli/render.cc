// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/renderers.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

struct Renderer {
  Noun noun;
  std::string (*render)(const json::value* root, absl::Time now);
};

constexpr Renderer kRenderers[] = {
    {{"status", "is this agent ready, and what does it know"}, RenderStatus},
    {{"services", "every service, where it is served, and how its endpoints do"}, RenderServices},
    {{"clusters", "every cluster, and how the ways to it do"}, RenderClusters},
    {{"topology", "clusters, the ways and links to them, and which services are served where"},
     RenderTopology},
    {{"identities", "SVIDs of this node, and how their renewal goes"}, RenderIdentities},
    {{"workloads", "what has an identity on this node"}, RenderWorkloads},
    {{"connections", "application connections that this agent carries"}, RenderConnections},
    {{"tunnels", "mTLS connections to and from other agents, or through this gateway"},
     RenderTunnels},
    {{"datapath", "eBPF programs, maps and counters in the kernel"}, RenderDatapath},
};

absl::StatusOr<json::value> Parse(absl::string_view answer) {
  boost::system::error_code error;
  json::value root = json::parse({answer.data(), answer.size()}, error);
  if (!error && root.is_object()) return root;
  return absl::InvalidArgumentError(
      absl::StrCat("the agent's answer is not a JSON object",
                   error ? absl::StrCat(": ", error.message()) : std::string()));
}

}  // namespace

const std::vector<Noun>& Nouns() {
  static const auto* nouns = [] {
    auto* all = new std::vector<Noun>;
    for (const Renderer& renderer : kRenderers) all->push_back(renderer.noun);
    return all;
  }();
  return *nouns;
}

absl::StatusOr<std::string> Render(absl::string_view noun, absl::string_view answer,
                                   absl::Time now) {
  ASSIGN_OR_RETURN(const json::value root, Parse(answer));
  for (const Renderer& renderer : kRenderers) {
    if (renderer.noun.name == noun) return renderer.render(&root, now);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown noun '", noun, "'"));
}

absl::StatusOr<std::string> RenderExplanation(absl::string_view answer) {
  ASSIGN_OR_RETURN(const json::value root, Parse(answer));
  return RenderExplain(&root);
}

}  // namespace tombolo::cli
