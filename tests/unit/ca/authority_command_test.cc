// SPDX-License-Identifier: Apache-2.0
// What operators do with tombolo-ca, by the program itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_command_case.h"
#include "core/service_accounts.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Result = testing::ShellResult;
using testing::Shell;
using AuthorityCommandTest = AuthorityCommandCase;

TEST_F(AuthorityCommandTest, MakesATrustDomainOnce) {
  EXPECT_THAT(Bad("cluster add east"), HasSubstr("tombolo-ca init"));
  EXPECT_THAT(Good("init"), HasSubstr("made trust domain test.example"));
  EXPECT_THAT(Bad("init"), HasSubstr("has a trust domain already"));
  EXPECT_EQ(Run("stat -c %a keys/*.key | sort -u").output, "600\n");
  EXPECT_THAT(Good("root status"), HasSubstr("active"));
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

TEST_F(AuthorityCommandTest, AddsAndListsClusters) {
  Good("init");
  Write("jwks.json", testing::ServiceAccounts().Jwks());
  EXPECT_THAT(Good("cluster add east --issuer https://k8s --jwks jwks.json --agent-account a/b"),
              HasSubstr("cluster east: made its authority, registered"));
  EXPECT_THAT(Good("cluster add east"), HasSubstr("cluster east is there"));
  EXPECT_THAT(Good("cluster add west"), HasSubstr("made its authority"));
  EXPECT_THAT(Good("cluster list"), HasSubstr("https://k8s  a/b"));
  EXPECT_THAT(Good("cluster list --json"), HasSubstr(R"("name":"west")"));
  EXPECT_THAT(Bad("cluster add a/b"), HasSubstr("'a/b' has a '/'"));
  EXPECT_THAT(Bad("cluster add west --issuer https://w"), HasSubstr("needs --jwks or --discovery"));
  EXPECT_THAT(Bad("cluster add west --issuer https://w --discovery http://w"),
              HasSubstr("https://"));
  // Nobody listens there: replicas will try again.
  ASSERT_EQ(Run(TOMBOLO_CA " init --trust-domain other.example --dir other").status, 0);
  EXPECT_THAT(Good("cluster add west --issuer https://w --discovery https://127.0.0.1:1/id/7 "
                   "--discovery-ca other/root.pem --discovery-token-file /run/token"),
              HasSubstr("its keys cannot be read from here: "));
  EXPECT_THAT(Good("cluster list --json"), HasSubstr(R"("discovery":"https://127.0.0.1:1/id/7")"));
  Write("jwks.json", "{}");
  EXPECT_THAT(Bad("cluster add north --issuer x --jwks jwks.json"), HasSubstr("JWKS"));
  Write("jwks.json", R"({"keys":[]})");
  EXPECT_THAT(Bad("cluster add north --issuer x --jwks jwks.json"), HasSubstr("JWKS: no key"));
  EXPECT_THAT(Good("cluster list"), Not(HasSubstr("north"))) << "nothing by halves";
}

TEST_F(AuthorityCommandTest, WhatItTrustsCanBeGivenToOthers) {
  Good("init");
  Good("cluster add east");
  Good("revoke workload spiffe://test.example/cluster/east/ns/a/sa/b --reason lost");
  EXPECT_THAT(Good("root export --out roots.pem"), HasSubstr("wrote roots.pem"));
  EXPECT_EQ(Run("cat roots.pem").output, Good("root export"));
  EXPECT_EQ(Run("grep -c BEGIN roots.pem").output, "1\n");
  Good("root export --intermediates --out intermediates.pem");
  EXPECT_EQ(Run("grep -c BEGIN intermediates.pem").output, "2\n") << "the server's and east's";
  const Result verified = Run("openssl verify -x509_strict -CAfile roots.pem intermediates.pem");
  EXPECT_EQ(verified.status, 0) << verified.output;
  const std::string bundle = Good("root export --bundle");
  EXPECT_THAT(bundle, HasSubstr(R"("cluster":"east")"));
  EXPECT_THAT(bundle, HasSubstr("spiffe://test.example/cluster/east/ns/a/sa/b"));
  EXPECT_THAT(Bad("root export --bundle --intermediates"), HasSubstr("excludes"));
  Good("root prepare");
  EXPECT_THAT(Good("root export --out roots.pem"), HasSubstr("wrote"));
  EXPECT_EQ(Run("grep -c BEGIN roots.pem").output, "2\n") << "agents are to have both";
}

TEST_F(AuthorityCommandTest, TokensAreShownOnce) {
  Good("init");
  const std::string id = "spiffe://test.example/cluster/east/node/n1";
  EXPECT_THAT(Bad("token add " + id), HasSubstr("'tombolo-ca cluster add' first"));
  Good("cluster add east");
  const std::string token = Good("token add " + id + " --ttl 10m");
  EXPECT_THAT(token, StartsWith("tbj_"));
  const std::string list = Good("token list");
  EXPECT_THAT(list, HasSubstr(id + "  good"));
  EXPECT_THAT(list, Not(HasSubstr(token.substr(0, 12))));
  EXPECT_EQ(Run("cat ca.db* | grep -a -c tbj_").output, "0\n");
  const std::string digest = list.substr(list.find('\n') + 1, 16);
  EXPECT_THAT(Good("token remove " + digest), HasSubstr("removed " + digest));
  EXPECT_THAT(Bad("token remove " + digest), HasSubstr("0 tokens"));
  EXPECT_THAT(Bad("token add spiffe://test.example/ca"), HasSubstr("neither a node"));
  EXPECT_THAT(Bad("token add " + id + " --ttl soon"), HasSubstr("'soon'"));
}

TEST_F(AuthorityCommandTest, IssuesListsAndRevokes) {
  Good("init");
  Good("cluster add east");
  const std::string id = "spiffe://test.example/cluster/east/ns/a/sa/b";
  Good("issue --spiffe-id " + id + " --out out");
  const Result verified = Run(
      "openssl verify -x509_strict -CAfile out/bundle.pem -untrusted out/svid.pem out/svid.pem");
  EXPECT_EQ(verified.status, 0) << verified.output;
  const std::string list = Good("list --id " + id);
  EXPECT_THAT(list, HasSubstr("good"));
  const std::string serial = list.substr(list.find('\n') + 1, 32);
  EXPECT_THAT(Good("show " + serial), HasSubstr("a command"));
  EXPECT_THAT(Good("show " + serial + " --json"), HasSubstr(R"("state":"good")"));
  EXPECT_THAT(Bad("show 00"), HasSubstr("no certificate 00"));
  const std::string all = Good("list");
  const std::string authority = all.substr(all.rfind('\n', all.find("intermediate east")) + 1, 32);
  EXPECT_THAT(Bad("revoke serial " + authority + " --reason lost"),
              HasSubstr("not a leaf's, but of 'intermediate east'"));
  EXPECT_THAT(Good("revoke serial " + serial + " --reason lost"), HasSubstr("trust bundle"));
  EXPECT_THAT(Good("list --id " + id), HasSubstr("revoked"));
  EXPECT_THAT(Good("revoke node east/n1 --reason 'stolen by night'"),
              HasSubstr("revoked node spiffe://test.example/cluster/east/node/n1"));
  Good("revoke workload " + id + " --reason lost");
  EXPECT_THAT(Bad("issue --spiffe-id " + id + " --out out"), HasSubstr("revoked"));
  EXPECT_THAT(Bad("revoke node n1 --reason x"), HasSubstr("n1"));
  EXPECT_THAT(Bad("revoke node east/n1"), HasSubstr("--reason is required"));
  EXPECT_THAT(Good("audit show --limit 3"), HasSubstr("reason=stolen by night"));
  EXPECT_THAT(Good("audit show --json"), HasSubstr(R"("event":"workload revoked")"));
  EXPECT_THAT(Good("audit verify --json"), HasSubstr(R"("intact":true)"));
}

TEST_F(AuthorityCommandTest, TakesARevocationBack) {
  Good("init");
  Good("cluster add east");
  const std::string id = "spiffe://test.example/cluster/east/ns/a/sa/b";
  EXPECT_THAT(Bad("unrevoke workload " + id + " --reason x"), HasSubstr("is not revoked"));
  Good("revoke workload " + id + " --reason lost");
  Good("revoke workload " + id + " --reason 'lost twice'");
  EXPECT_THAT(Bad("issue --spiffe-id " + id + " --out out"), HasSubstr("revoked"));
  EXPECT_THAT(Bad("unrevoke workload " + id), HasSubstr("--reason is required"));
  EXPECT_THAT(Good("unrevoke workload " + id + " --reason found"),
              HasSubstr("trusts again workload " + id));
  Good("issue --spiffe-id " + id + " --out out");
  const std::string before = Good("root status --json");
  Good("revoke node east/n1 --reason lost");
  Good("revoke cluster east --reason lost");
  Good("revoke serial 4a000000000000000000000000000001 --reason lost");
  EXPECT_THAT(Good("unrevoke node east/n1 --reason found"), HasSubstr("still revoked"));
  Good("unrevoke cluster east --reason found");
  Good("unrevoke serial 4a000000000000000000000000000001 --reason found");
  EXPECT_NE(Good("root status --json"), before) << "the bundle's number goes on";
  EXPECT_THAT(Good("audit show --json"), HasSubstr(R"("event":"workload revocation taken back")"));
  EXPECT_THAT(Good("audit show"), HasSubstr("reason=found"));
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
  EXPECT_THAT(Bad("revoke workload spiffe://test.example/ca --reason x"),
              HasSubstr("this is the authority itself"));
}

TEST_F(AuthorityCommandTest, TellsOfATamperedStore) {
  Good("init");
  Good("cluster add east");
  const Result removed =
      Run("python3 -c \"import sqlite3; c = sqlite3.connect('ca.db'); "
          "c.execute(\\\"DELETE FROM entries WHERE key LIKE 'cert/%'\\\"); c.commit()\"");
  ASSERT_EQ(removed.status, 0) << removed.output;
  const std::string output = Bad("audit verify");
  EXPECT_THAT(output, HasSubstr("NOT INTACT"));
  EXPECT_THAT(output, HasSubstr("tombolo-ca: 2 findings"));
}

TEST_F(AuthorityCommandTest, FederatesWithOthers) {
  Good("init");
  ASSERT_EQ(
      Shell(TOMBOLO_CA " init --trust-domain other.example --dir " + (directory_ / "other")).status,
      0);
  EXPECT_THAT(Good("federate add other.example other/root.pem"), HasSubstr("other.example"));
  EXPECT_THAT(Bad("federate add third.example other/root.pem"), HasSubstr("third.example"));
  Good("federate remove other.example");
  EXPECT_THAT(Bad("federate remove other.example"), HasSubstr("not a federated trust domain"));
}

TEST_F(AuthorityCommandTest, ADirectoryHasEverything) {
  ASSERT_EQ(Run(TOMBOLO_CA " init --trust-domain test.example --dir all").status, 0);
  const auto ca = [&](const std::string& arguments) {
    return Run(TOMBOLO_CA " " + arguments + " --config all/ca.yaml");
  };
  EXPECT_EQ(ca("cluster add east").status, 0);
  const Result issued = Run(TOMBOLO_CA
                            " issue --dir all --out out --spiffe-id "
                            "spiffe://test.example/cluster/east/ns/a/sa/b");
  EXPECT_EQ(issued.status, 0) << issued.output;
  EXPECT_THAT(ca("list").output, HasSubstr("spiffe://test.example/cluster/east/ns/a/sa/b"));
  EXPECT_EQ(Run("cmp out/bundle.pem all/root.pem").status, 0);
  EXPECT_EQ(Run("grep -c BEGIN out/svid.pem").output, "2\n") << "the cluster's authority signs";
}

}  // namespace
}  // namespace tombolo::ca
