// SPDX-License-Identifier: Apache-2.0
// tombolo topology
#include "absl/strings/str_cat.h"
#include "cli/answer.h"
#include "cli/format.h"
#include "cli/renderers.h"
#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

// "-" where it is not known: who dials nobody there cannot tell.
std::string Health(const json::value& of) {
  if (Field(&of, "ejected") == nullptr) return Text(nullptr);
  if (IsTrue(&of, "ejected")) {
    return absl::StrCat("ejected for ", Age(Field(&of, "ejected_for_ms")));
  }
  const json::value* warmth = Field(&of, "warmth_percent");
  if (warmth != nullptr && warmth->is_number() && warmth->to_number<double>() < 100) {
    return absl::StrCat("back, at ", Text(warmth), " %");
  }
  return "good";
}

std::string StateOf(const json::value& cluster) {
  if (!IsTrue(&cluster, "alive")) return "away";
  if (IsTrue(&cluster, "draining")) return "draining";
  return IsTrue(&cluster, "ejected") ? Health(cluster) : "alive";
}

std::string Clusters(const json::value* root) {
  Table table({"CLUSTER", "REGION", "STATE", "RTT-US", "CONNECTIONS", "IDLE-TUNNELS"});
  for (const json::value& c : List(root, "clusters")) {
    table.Add({absl::StrCat(TextOf(&c, "name"), IsTrue(&c, "own") ? " (own)" : ""),
               TextOf(&c, "region"), StateOf(c), TextOf(&c, "round_trip_us"),
               TextOf(&c, "connections"), TextOf(&c, "idle_tunnels")});
  }
  return table.OrNone("clusters");
}

std::string Ways(const json::value* root) {
  Table table(
      {"CLUSTER", "WAY", "NAME", "ADDRESS", "ZONE", "VIA", "HEALTH", "IN-FLIGHT", "CONNECT-US"});
  for (const json::value& c : List(root, "clusters")) {
    for (const json::value& way : List(&c, "ways")) {
      table.Add({TextOf(&c, "name"), TextOf(&way, "kind"), TextOf(&way, "name"),
                 TextOf(&way, "address"), TextOf(&way, "zone"), TextOf(&way, "via"), Health(way),
                 TextOf(&way, "in_flight"), TextOf(&way, "connect_us")});
    }
  }
  return table.OrNone("ways to clusters");
}

// "4/6" of those that are to be kept, where this side says how many.
std::string Spares(const json::value& link) {
  const json::value* wanted = Field(&link, "spares_wanted");
  const std::string spares = TextOf(&link, "spares");
  return wanted == nullptr ? spares : absl::StrCat(spares, "/", Text(wanted));
}

std::string NextDial(const json::value& link) {
  if (TextOf(&link, "role") != "dialer" || TextOf(&link, "state") == "up") return Text(nullptr);
  const json::value* next = Field(&link, "next_dial_ms");
  return next == nullptr ? "now" : absl::StrCat("in ", Age(next));
}

// Of one that has been up again since, the error is history.
std::string Error(const json::value& link) {
  return TextOf(&link, "state") == "up" ? Text(nullptr) : TextOf(&link, "error");
}

// A gateway's own.
std::string LinksHeld(const json::value* root) {
  Table table({"LINK-WITH", "DIALLED-BY", "STATE", "SINCE", "HEARD", "SPARES", "TUNNELS",
               "NEXT-DIAL", "ERROR"});
  for (const json::value& link : List(root, "links")) {
    table.Add({absl::StrCat(TextOf(&link, "cluster"), "/", TextOf(&link, "gateway")),
               TextOf(&link, "role") == "dialer" ? "us" : "them", TextOf(&link, "state"),
               Age(Field(&link, "since_ms")), Age(Field(&link, "heard_ms")), Spares(link),
               TextOf(&link, "tunnels"), NextDial(link), Error(link)});
  }
  return table.OrNone("links");
}

// What a node knows of those of others.
std::string LinksUsed(const json::value* root) {
  Table table({"LINKED", "GATEWAYS", "VIA", "WAYS-GOOD", "STATE"});
  for (const json::value& link : List(root, "links")) {
    const json::value* ways = Field(&link, "ways");
    const json::value* ejected = Field(&link, "ways_ejected");
    std::string good = Text(nullptr);
    if (ways != nullptr && ways->is_number() && ejected != nullptr && ejected->is_number()) {
      good =
          absl::StrCat(ways->to_number<double>() - ejected->to_number<double>(), "/", Text(ways));
    }
    table.Add({TextOf(&link, "cluster"), Joined(List(&link, "gateways"), ","), TextOf(&link, "via"),
               good, TextOf(&link, "state")});
  }
  return table.OrNone("links");
}

std::string Links(const json::value* root) {
  return TextOf(root, "role") == "gateway" ? LinksHeld(root) : LinksUsed(root);
}

// A port that nobody serves is what someone is looking for: it has a row, too.
std::string Services(const json::value* root) {
  Table table({"SERVICE", "VIPS", "PORT", "CLUSTER", "READY", "EJECTED", "IN-FLIGHT"});
  for (const json::value& service : List(root, "services")) {
    for (const json::value& port : List(&service, "ports")) {
      const auto add = [&](const json::value* c) {
        table.Add({TextOf(&service, "name"), Joined(List(&service, "vips"), ","),
                   TextOf(&port, "port"), TextOf(c, "name"),
                   absl::StrCat(TextOf(c, "ready"), "/", TextOf(c, "endpoints")),
                   TextOf(c, "ejected"), TextOf(c, "in_flight")});
      };
      if (List(&port, "clusters").empty()) add(nullptr);
      for (const json::value& cluster : List(&port, "clusters")) add(&cluster);
    }
  }
  return table.OrNone("services");
}

std::string Drains(const json::value* root) {
  std::string out;
  for (const json::value& c : List(root, "clusters")) {
    const std::string drain = TextOf(&c, "drain");
    if (drain != Text(nullptr))
      absl::StrAppend(&out, "\n", TextOf(&c, "name"), " is ", drain, ".\n");
  }
  return out;
}

}  // namespace

std::string RenderTopology(const json::value* root, absl::Time) {
  return absl::StrCat(Clusters(root), "\n", Ways(root), "\n", Links(root), "\n", Services(root),
                      Drains(root));
}

}  // namespace tombolo::cli
