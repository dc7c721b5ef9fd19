// SPDX-License-Identifier: Apache-2.0
// tombolo explain
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/answer.h"
#include "cli/facts.h"
#include "cli/format.h"
#include "cli/renderers.h"
#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

std::string StateOf(const json::value& cluster) {
  std::vector<std::string> words;
  if (IsTrue(&cluster, "draining")) words.emplace_back("draining");
  if (IsTrue(&cluster, "ejected")) {
    words.push_back(absl::StrCat("ejected for ", Age(Field(&cluster, "ejected_for_ms"))));
  }
  return words.empty() ? "in use" : absl::StrJoin(words, ", ");
}

// `with_times`: what differs between threads that would do the same is there, too.
std::string Tiers(const json::value& thread, bool with_times) {
  Table table({"TIER", "NAME", "SHARE", "CLUSTER", "STATE", "READY", "IN-USE", "WEIGHT", "RTT-US"});
  for (const json::value& tier : List(&thread, "tiers")) {
    for (const json::value& cluster : List(&tier, "clusters")) {
      table.Add({TextOf(&tier, "tier"), TextOf(&tier, "name"),
                 absl::StrCat(TextOf(&tier, "share_percent"), " %"), TextOf(&cluster, "name"),
                 StateOf(cluster),
                 absl::StrCat(TextOf(&cluster, "ready"), "/", TextOf(&cluster, "endpoints")),
                 TextOf(&cluster, "in_use"), TextOf(&cluster, "weight"),
                 with_times ? TextOf(&cluster, "round_trip_us") : ""});
    }
  }
  return table.OrNone("endpoints");
}

std::string Through(const json::value& attempt) {
  const json::value* error = Field(&attempt, "error");
  if (error != nullptr) return Text(error);
  const bool gateway = Field(&attempt, "gateway") != nullptr;
  return absl::StrCat(gateway ? "gateway " : "node ",
                      TextOf(&attempt, gateway ? "gateway" : "node"), " ", TextOf(&attempt, "way"),
                      IsTrue(&attempt, "idle_tunnel") ? ", idle tunnel" : ", new tunnel");
}

std::string Attempts(const json::value& thread) {
  Table table({"TRY", "CLUSTER", "ENDPOINT", "THROUGH", "WHY"});
  std::size_t number = 0;
  for (const json::value& attempt : List(&thread, "attempts")) {
    table.Add({absl::StrCat(++number), TextOf(&attempt, "cluster"), TextOf(&attempt, "endpoint"),
               Through(attempt), TextOf(&attempt, "choice")});
  }
  return table.OrNone("endpoints that could be tried");
}

// Threads that would do the same are shown once.
std::string Threads(const json::value* root) {
  struct Shown {
    std::string key, text;
    std::vector<std::string> threads;
  };
  std::vector<Shown> all;
  for (const json::value& thread : List(root, "threads")) {
    const std::string attempts = Attempts(thread);
    const std::string key = Tiers(thread, /*with_times=*/false) + attempts;
    Shown* same = nullptr;
    for (Shown& shown : all) {
      if (shown.key == key) same = &shown;
    }
    if (same == nullptr) {
      all.push_back({key, absl::StrCat(Tiers(thread, /*with_times=*/true), "\n", attempts), {}});
      same = &all.back();
    }
    same->threads.push_back(TextOf(&thread, "thread"));
  }
  std::string out;
  for (const Shown& shown : all) {
    absl::StrAppend(&out, "\n", shown.threads.size() == 1 ? "Thread " : "Threads ",
                    absl::StrJoin(shown.threads, ", "), ":\n", shown.text);
  }
  return out;
}

std::string Connection(const json::value* connection) {
  Facts facts;
  const auto add = [&](const char* name, const char* key) {
    facts.Add(name, TextOf(connection, key));
  };
  add("Connection", "id");
  add("Role", "role");
  add("State", "state");
  add("Source", "source_id");
  add("Source address", "source_address");
  facts.Add("Service",
            absl::StrCat(TextOf(connection, "service"), " port ", TextOf(connection, "port")));
  add("Policy", "policy");
  add("Choice", "choice");
  add("Endpoint", "endpoint");
  add("Peer", "peer_id");
  add("Through", "peer_address");
  add("Tunnel", "tunnel");
  facts.Add("Age", Age(Field(connection, "age_ms")));
  return facts.ToString();
}

}  // namespace

std::string RenderExplain(const json::value* root) {
  if (const json::value* connection = Field(root, "connection")) return Connection(connection);
  Table steps({"STEP", "OK", "WHAT"});
  for (const json::value& step : List(root, "steps")) {
    steps.Add({TextOf(&step, "step"), IsTrue(&step, "ok") ? "yes" : "NO", TextOf(&step, "detail")});
  }
  const std::string outcome = IsTrue(root, "carried")
                                  ? "would be carried"
                                  : absl::StrCat("would not be carried: ", TextOf(root, "reason"));
  return absl::StrCat("A connection from ", TextOf(root, "workload"), " to ", TextOf(root, "to"),
                      " ", outcome, ".\n\n", steps.ToString(), Threads(root));
}

}  // namespace tombolo::cli
