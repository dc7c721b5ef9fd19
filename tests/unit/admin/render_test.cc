// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace tombolo::cli {
namespace {

using testing::HasSubstr;

std::string Table(const char* noun, const char* answer) {
  absl::Time now;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-01-31T12:00:00Z", &now, nullptr));
  const auto text = Render(noun, answer, now);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

TEST(RenderTest, Status) {
  EXPECT_EQ(Table("status", R"({"instance":"default","cluster":"east","node":"east-1",
    "version":"0.1.0","pid":42,"started_at":"2026-01-31T11:55:00Z","ready":false,
    "not_ready":["no SVID for east/curl","not attached"],
    "snapshot":{"version":3,"loaded_at":"2026-01-31T11:59:18Z","trust_domain":"t.example",
                "error":""},
    "config_error":"agent.yaml:3: unknown key 'nod'",
    "datapath":{"attached":true,"refuse_unknown":false,"error":null},
    "identities":[{"id":"spiffe://t.example/cluster/east/ns/shop/sa/curl","serial":"0a1b",
      "not_before":"2026-01-31T11:30:00Z","not_after":"2026-01-31T12:30:00Z","error":""}],
    "relay":{"configured":"auto","records":"kernel","kernel_tls":[
      {"name":"TLS_AES_128_GCM_SHA256","works":true,"error":""},
      {"name":"rekey","works":false,"error":"install TLS_RX: Device or resource busy"}]},
    "threads":2,"connections":{"dialed":5,"accepted":6},
    "tunnels":{"idle":1,"busy":2,"accepted":3}})"),
            R"(Node:              east-1
Cluster:           east
Instance:          default
Version:           0.1.0
Process:           42, 2 data-plane threads, started 5m0s ago
Ready:             false
Not ready:         no SVID for east/curl
Not ready:         not attached
Trust domain:      t.example
Directory:         version 3, loaded 42s ago
Directory error:   -
Config error:      agent.yaml:3: unknown key 'nod'
Datapath:          attached true, refuse unknown false
Datapath error:    -
Records:           sealed in the kernel, relay: auto
Kernel TLS:        TLS_AES_128_GCM_SHA256: works
Kernel TLS:        rekey: install TLS_RX: Device or resource busy
Connections:       5 dialed, 6 accepted
Tunnels:           1 idle, 2 busy, 3 accepted

IDENTITY                                          SERIAL   ISSUED    EXPIRES   ERROR
spiffe://t.example/cluster/east/ns/shop/sa/curl   0a1b     30m ago   in 30m    -
)");
}

TEST(RenderTest, ServicesHaveARowAnEndpointAndOneWhenThereIsNone) {
  EXPECT_EQ(Table("services", R"({"services":[
    {"name":"shop/web","vips":["10.96.0.10","fd00:96::10"],"ports":[{"port":80,"endpoints":[
      {"workload":"west/web","identity":"spiffe://t/x","cluster":"west","node":"west-1",
       "address":"10.0.0.10:8080","ready":true,"weight":1,"in_flight":2,"ejected":true,
       "ejected_for_ms":1500},
      {"workload":"west/web2","cluster":"west","node":"west-1","address":"10.0.0.11:8080",
       "ready":false,"weight":1,"in_flight":0}]}]},
    {"name":"shop/db","vips":["10.96.0.11"],"ports":[{"port":5432,"endpoints":[]}]},
    {"name":"shop/new"}]})"),
            "SERVICE    VIPS                     PORT   WORKLOAD    CLUSTER   NODE     "
            "ADDRESS          READY   WEIGHT   IN-FLIGHT   EJECTED   EJECTED-FOR\n"
            "shop/web   10.96.0.10,fd00:96::10   80     west/web    west      west-1   "
            "10.0.0.10:8080   true    1        2           true      1s\n"
            "shop/web   10.96.0.10,fd00:96::10   80     west/web2   west      west-1   "
            "10.0.0.11:8080   false   1        0           -         -\n"
            "shop/db    10.96.0.11               5432   -           -         -        "
            "-                -       -        -           -         -\n"
            "shop/new   -                        -      -           -         -        "
            "-                -       -        -           -         -\n");
}

TEST(RenderTest, ClustersHaveARowAWay) {
  EXPECT_EQ(Table("clusters", R"({"clusters":[
    {"name":"west","region":"eu","own":false,"draining":false,"ejected":true,"round_trip_us":20000,
     "ways":[{"kind":"gateway","name":"gw-1","address":"203.0.113.1:15443","zone":"a",
              "in_flight":3,"ejected":true,"ejected_for_ms":1500}]},
    {"name":"new","region":"","own":false,"draining":true,"ejected":false,"ways":[]}]})"),
            "CLUSTER   REGION   OWN     DRAINING   EJECTED   RTT-US   WAY       NAME   "
            "ADDRESS             ZONE   IN-FLIGHT   WAY-EJECTED   EJECTED-FOR\n"
            "west      eu       false   false      true      20000    gateway   gw-1   "
            "203.0.113.1:15443   a      3           true          1s\n"
            "new       -        false   true       false     -        -         -      "
            "-                   -      -           -             -\n");
}

TEST(RenderTest, Workloads) {
  EXPECT_EQ(Table("workloads", R"({"workloads":[{"name":"east/curl",
    "id":"spiffe://t/cluster/east/ns/shop/sa/curl","cgroup":"/q/curl","cgroup_id":777,
    "netns":"/run/netns/a","netns_cookie":5,"enrolled":false,"error":"no such cgroup"}]})"),
            "WORKLOAD    IDENTITY         CGROUP    CGROUP-ID   NETNS          ENROLLED   ERROR\n"
            "east/curl   east/shop/curl   /q/curl   777         /run/netns/a   false      "
            "no such cgroup\n");
}

TEST(RenderTest, Connections) {
  EXPECT_EQ(
      Table("connections", R"({"connections":[{"id":"ab12","role":"dialer","state":"relay",
    "source_id":"spiffe://t/cluster/east/ns/shop/sa/curl","source_address":"10.1.0.1:999",
    "service":"shop/web","port":80,"endpoint":"10.0.0.10:8080",
    "peer_id":"spiffe://t/cluster/west/ns/shop/sa/web","peer_address":"172.31.0.2:15008",
    "tunnel":"t1","tls_version":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256","group":"x25519",
    "records":"kernel","records_sent":4194304,"records_received":7,"record_budget":16777216,
    "round_trip_us":250,"retransmits":3,"bytes_to_peer":512,"bytes_from_peer":20971520,"age_ms":200000}]})"),
      "CONNECTION   ROLE     STATE   SOURCE           SOURCE-ADDRESS   SERVICE    PORT   "
      "ENDPOINT         PEER            PEER-ADDRESS       TLS                      RECORDS   "
      "KEY-USED   RTT-US   RETRANSMITS   TO-PEER   FROM-PEER   AGE\n"
      "ab12         dialer   relay   east/shop/curl   10.1.0.1:999     shop/web   80     "
      "10.0.0.10:8080   west/shop/web   172.31.0.2:15008   TLS_AES_128_GCM_SHA256   kernel    "
      "25.0%      250      3             512B      20MiB       3m20s\n");
}

TEST(RenderTest, Tunnels) {
  const std::string text = Table("tunnels", R"({"tunnels":[{"tunnel":"t1","role":"acceptor",
    "state":"idle","local_id":"spiffe://t/cluster/west/ns/shop/sa/web",
    "peer_id":"spiffe://t/cluster/east/ns/shop/sa/curl","peer_address":"172.31.0.1:40000",
    "sni":"abc.west.tombolo.internal","tls_version":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256",
    "group":"x25519","connections":3,"records_sent":10,"records_received":11,"age_ms":900}]})");
  EXPECT_THAT(text, HasSubstr("\nt1       acceptor   idle    west/shop/web   east/shop/curl   "));
  EXPECT_THAT(text, HasSubstr("   3             10             11                 900ms\n"));
}

TEST(RenderTest, Datapath) {
  EXPECT_EQ(
      Table("datapath", R"({"instance":"default","pin_directory":"/sys/fs/bpf/tombolo/default",
    "refuse_unknown":false,"programs":[{"name":"tb_connect4","attach_type":"cgroup/connect4",
    "pin":"/p/connect4","id":9}],"maps":[{"name":"tb_services","entries":2,"max_entries":65536}],
    "counters":{"captured":7,"refused_no_listener":0}})"),
      R"(Instance:         default
Pins:             /sys/fs/bpf/tombolo/default
Refuse unknown:   false

PROGRAM       ATTACHED-TO       ID   PIN
tb_connect4   cgroup/connect4   9    /p/connect4

MAP           ENTRIES   MAX-ENTRIES
tb_services   2         65536

COUNTER               VALUE
captured              7
refused_no_listener   0
)");
}

TEST(RenderTest, IdentitiesOfAnAuthority) {
  EXPECT_EQ(Table("identities", R"({"authority":{"urls":["https://10.0.0.1:8443"],
    "reachable":true,"since":"2026-01-31T11:00:00Z","bundle_sequence":12,"bundle_error":"",
    "state_error":"","node":{"id":"spiffe://t/cluster/east/node/east-1","serial":"0c",
      "not_after":"2026-01-31T12:30:00Z","next_attempt":"2026-01-31T12:05:00Z","error":"",
      "failures":0,"expires_soon":false}},
    "identities":[{"id":"spiffe://t/cluster/east/ns/shop/sa/curl","serial":"0a1b",
      "not_before":"2026-01-31T11:30:00Z","not_after":"2026-01-31T12:30:00Z",
      "next_attempt":"2026-01-31T12:00:30Z","failures":3,"expires_soon":false,
      "error":"status 403"}]})"),
            R"(Authority:             https://10.0.0.1:8443
Authority reachable:   true, since 60m ago
Trust bundle:          sequence 12
Trust bundle error:    -
Node SVID:             0c, expires in 30m, next attempt in 5m0s
Node SVID error:       -
State error:           -

IDENTITY                                  SERIAL   ISSUED    EXPIRES   NEXT-ATTEMPT   FAILURES   ERROR
spiffe://t/cluster/east/ns/shop/sa/curl   0a1b     30m ago   in 30m    in 30s         3          status 403
)");
  EXPECT_EQ(Table("identities", R"({"identities":[]})"), "No identities.\n");
}

TEST(RenderTest, WhatExpiresSoonHasALineOfItsOwn) {
  for (const char* noun : {"status", "identities"}) {
    const std::string text = Table(noun, R"({"authority":{"node":{"id":"spiffe://t/n",
      "not_after":"2026-01-31T12:10:00Z","failures":9,"expires_soon":true,"error":"nobody there"}},
    "identities":[{"id":"spiffe://t/a","not_after":"2026-01-31T12:05:00Z","failures":7,
      "expires_soon":true,"error":"status 503"},
      {"id":"spiffe://t/b","failures":0,"expires_soon":false,"error":""}]})");
    EXPECT_THAT(text, HasSubstr("spiffe://t/n, in 10m, 9 failures: nobody there\n"));
    EXPECT_THAT(text, HasSubstr("spiffe://t/a, in 5m0s, 7 failures: status 503\n"));
    EXPECT_THAT(text, testing::Not(HasSubstr("spiffe://t/b, ")));
  }
}

TEST(RenderTest, EmptyListsSaySo) {
  EXPECT_EQ(Table("services", R"({"services":[]})"), "No services.\n");
  EXPECT_EQ(Table("workloads", R"({"workloads":[]})"), "No workloads on this node.\n");
  EXPECT_EQ(Table("connections", R"({"connections":[]})"), "No connections.\n");
  EXPECT_EQ(Table("tunnels", R"({"tunnels":[]})"), "No tunnels.\n");
}

TEST(RenderTest, EveryNounSurvivesMissingAndMistypedFields) {
  for (const Noun& noun : Nouns()) {
    EXPECT_FALSE(Table(noun.name, "{}").empty()) << noun.name;
    const std::string mistyped =
        absl::StrCat(R"({")", noun.name, R"(":[{},1,null,{"ports":[{}],"vips":3}],"programs":{},)",
                     R"("snapshot":[],"identities":[1],"counters":[]})");
    EXPECT_FALSE(Table(noun.name, mistyped.c_str()).empty()) << noun.name;
  }
}

TEST(RenderTest, Topology) {
  EXPECT_EQ(Table("topology", R"({"clusters":[
    {"name":"east","region":"eu","own":true,"alive":true,"draining":false,"ejected":false,
     "connections":0,"idle_tunnels":0,"drain":"","ways":[{"kind":"node","name":"east-1",
     "address":"172.31.0.1:15008","zone":"","ejected":false,"in_flight":1,"warmth_percent":100}]},
    {"name":"west","region":"us","alive":true,"draining":true,"ejected":false,"round_trip_us":900,
     "connections":3,"idle_tunnels":1,"drain":"draining: that is so","ways":[{"kind":"gateway",
     "name":"east/gw","address":"203.0.113.1:15443","zone":"a","via":"east","ejected":true,
     "ejected_for_ms":3000,"in_flight":0,"connect_us":70},{"kind":"gateway","name":"gw-2",
     "address":"203.0.113.2:15443","ejected":false,"warmth_percent":40}]},
    {"name":"south","alive":false}],
    "links":[{"role":"user","cluster":"west","via":"east","gateways":["gw-1","gw-3"],"ways":2,
     "ways_ejected":1,"state":"up"}],
    "services":[{"name":"shop/web","vips":["10.96.0.10"],"ports":[
      {"port":80,"clusters":[{"name":"west","endpoints":3,"ready":2,"ejected":1,"in_flight":4}]},
      {"port":443,"clusters":[]}]}]})"),
            R"(CLUSTER      REGION   STATE      RTT-US   CONNECTIONS   IDLE-TUNNELS
east (own)   eu       alive      -        0             0
west         us       draining   900      3             1
south        -        away       -        -             -

CLUSTER   WAY       NAME      ADDRESS             ZONE   VIA    HEALTH           IN-FLIGHT   CONNECT-US
east      node      east-1    172.31.0.1:15008    -      -      good             1           -
west      gateway   east/gw   203.0.113.1:15443   a      east   ejected for 3s   0           70
west      gateway   gw-2      203.0.113.2:15443   -      -      back, at 40 %    -           -

LINKED   GATEWAYS    VIA    WAYS-GOOD   STATE
west     gw-1,gw-3   east   1/2         up

SERVICE    VIPS         PORT   CLUSTER   READY   EJECTED   IN-FLIGHT
shop/web   10.96.0.10   80     west      2/3     1         4
shop/web   10.96.0.10   443    -         -/-     -         -

west is draining: that is so.
)");
}

TEST(RenderTest, TopologyOfAGateway) {
  EXPECT_EQ(Table("topology", R"({"role":"gateway","clusters":[
    {"name":"east","region":"eu","own":true,"alive":true,"draining":false,"ways":[
     {"kind":"node","name":"east-1","address":"172.31.0.1:15008","zone":"a","in_flight":2,
      "ejected":true,"ejected_for_ms":3000}]},
    {"name":"south","region":"","own":false,"alive":true,"draining":false,"ways":[
     {"kind":"gateway","name":"gw-1","zone":"","via":"east"}]}],
    "links":[{"role":"acceptor","cluster":"south","gateway":"gw-1","state":"up","since_ms":42000,
      "heard_ms":700,"spares":3,"spares_wanted":4,"tokens":1,"tunnels":7},
     {"role":"acceptor","cluster":"south","gateway":"gw-2","state":"down"},
     {"role":"dialer","cluster":"west","gateway":"gw-1","state":"down","since_ms":5000,
      "heard_ms":9000,"error":"no answer to PING","spares":0,"tunnels":2,"next_dial_ms":3000},
     {"role":"dialer","cluster":"west","gateway":"gw-2","state":"down","since_ms":5000,
      "error":"connection refused","spares":0,"tunnels":0},
     {"role":"dialer","cluster":"west","gateway":"gw-3","state":"up","since_ms":1000,
      "heard_ms":10,"error":"an old one","spares":4,"tunnels":0}],
    "services":[{"name":"shop/web","vips":["10.96.0.10"],"ports":[
      {"port":80,"clusters":[{"name":"south","endpoints":3,"ready":2}]}]}]})"),
            R"(CLUSTER      REGION   STATE   RTT-US   CONNECTIONS   IDLE-TUNNELS
east (own)   eu       alive   -        -             -
south        -        alive   -        -             -

CLUSTER   WAY       NAME     ADDRESS            ZONE   VIA    HEALTH           IN-FLIGHT   CONNECT-US
east      node      east-1   172.31.0.1:15008   a      -      ejected for 3s   2           -
south     gateway   gw-1     -                  -      east   -                -           -

LINK-WITH    DIALLED-BY   STATE   SINCE   HEARD   SPARES   TUNNELS   NEXT-DIAL   ERROR
south/gw-1   them         up      42s     700ms   3/4      7         -           -
south/gw-2   them         down    -       -       -        -         -           -
west/gw-1    us           down    5s      9s      0        2         in 3s       no answer to PING
west/gw-2    us           down    5s      -       0        0         now         connection refused
west/gw-3    us           up      1s      10ms    4        0         -           -

SERVICE    VIPS         PORT   CLUSTER   READY   EJECTED   IN-FLIGHT
shop/web   10.96.0.10   80     south     2/3     -         -
)");
}

// Three threads, of which two would do the same.
TEST(RenderTest, Explanation) {
  const auto thread = [](int number, int rtt, const char* cluster) {
    return absl::StrCat(R"({"thread":)", number, R"(,"tiers":[{"tier":1,"name":"other clusters",
    "share_percent":60,"clusters":[{"name":"west","endpoints":3,"ready":2,"in_use":1,"weight":1,
    "draining":true,"ejected":true,"ejected_for_ms":3000,"round_trip_us":)",
                        rtt, R"(},{"name":"south","endpoints":1,"ready":1,"in_use":1,"weight":4,
    "draining":false,"ejected":false}]}],"attempts":[{"cluster":")",
                        cluster, R"(","endpoint":"cluster west","way":"203.0.113.1:15443",
    "gateway":"gw-1","idle_tunnel":true,"choice":"because"},{"cluster":"east",
    "endpoint":"10.0.0.1:80","way":"172.31.0.1:15008","node":"east-1","idle_tunnel":false,
    "choice":"another"}]})");
  };
  const std::string answer = absl::StrCat(
      R"({"workload":"east/curl","to":"shop/web:80","carried":false,"reason":"denied",
    "steps":[{"step":"capture","ok":true,"detail":"enrolled"},
      {"step":"policy","ok":false,"detail":"no rule"}],"threads":[)",
      thread(0, 5, "west"), ",", thread(1, 7, "west"), ",", thread(2, 5, "south"), "]}");
  const std::string text = RenderExplanation(answer).value();
  EXPECT_THAT(text, testing::StartsWith(
                        R"(A connection from east/curl to shop/web:80 would not be carried: denied.

STEP      OK    WHAT
capture   yes   enrolled
policy    NO    no rule

Threads 0, 1:
TIER   NAME             SHARE   CLUSTER   STATE                      READY   IN-USE   WEIGHT   RTT-US
1      other clusters   60 %    west      draining, ejected for 3s   2/3     1        1        5
1      other clusters   60 %    south     in use                     1/1     1        4        -

TRY   CLUSTER   ENDPOINT       THROUGH                                       WHY
1     west      cluster west   gateway gw-1 203.0.113.1:15443, idle tunnel   because
2     east      10.0.0.1:80    node east-1 172.31.0.1:15008, new tunnel      another

Thread 2:
)"));
}

TEST(RenderTest, ExplanationOfAConnection) {
  const std::string text = RenderExplanation(R"({"connection":{"id":"ab12","role":"dialer",
    "service":"shop/web","port":80,"policy":"allow[0] allows","choice":"tier 0","age_ms":42000}})")
                               .value();
  EXPECT_THAT(text, HasSubstr("Service:          shop/web port 80\n"));
  EXPECT_THAT(text, HasSubstr("Policy:           allow[0] allows\n"));
  EXPECT_THAT(text, HasSubstr("Choice:           tier 0\n"));
  EXPECT_THAT(text, HasSubstr("Age:              42s\n"));
}

TEST(RenderTest, ExplanationSurvivesMissingAndMistypedFields) {
  for (const char* answer :
       {"{}", R"({"threads":[{},1,{"tiers":[1,{"clusters":[{}]}],"attempts":[{},2]}],"steps":[3]})",
        R"({"connection":[]})"}) {
    EXPECT_TRUE(RenderExplanation(answer).ok()) << answer;
  }
  EXPECT_FALSE(RenderExplanation("[]").ok());
}

TEST(RenderTest, AnswerThatIsNoObjectIsAnError) {
  EXPECT_FALSE(Render("status", "[]", absl::UnixEpoch()).ok());
  EXPECT_FALSE(Render("status", "{", absl::UnixEpoch()).ok());
}

}  // namespace
}  // namespace tombolo::cli
