// SPDX-License-Identifier: Apache-2.0
// Below a root that somebody else keeps, by the program itself.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_command_case.h"
#include "testing/skip.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Result = testing::ShellResult;

// A root that openssl has made, and keeps.
class CompanyRootTest : public AuthorityCommandCase {
 protected:
  void SetUp() override {
    if (Run("openssl version").status != 0) TOMBOLO_SKIP_WITHOUT("the openssl command");
    Write("root.cnf",
          "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=Company Root\n[ca]\n"
          "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
          "subjectKeyIdentifier=hash\n");
    Write("ext.cnf", "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n");
    MakeRoot("100");
  }
  void MakeRoot(const std::string& days) const {
    const Result result =
        Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days " + days +
            " -config root.cnf -extensions ca -keyout company.key -out company.pem");
    ASSERT_EQ(result.status, 0) << result.output;
  }
  // <name>.csr becomes <name>.pem.
  void Sign(const std::string& name, const std::string& days = "50") const {
    const Result result = Run("openssl x509 -req -in " + name +
                              ".csr -CA company.pem -CAkey company.key -days " + days +
                              " "
                              "-copy_extensions copyall -extfile ext.cnf -out " +
                              name + ".pem");
    EXPECT_EQ(result.status, 0) << result.output;
  }
};

TEST_F(CompanyRootTest, SignsTheIntermediates) {
  Good("init --root-certificate company.pem");
  EXPECT_THAT(Bad("cluster add east"), HasSubstr("tombolo-ca csr east"));
  Good("csr --out server.csr");
  Good("csr east --out east.csr");
  Sign("server");
  Sign("east");
  EXPECT_THAT(Good("install --certificate server.pem"), HasSubstr("authority of the server"));
  EXPECT_THAT(Good("install east --certificate east.pem"), HasSubstr("(active)"));
  EXPECT_THAT(Bad("install west --certificate east.pem"), HasSubstr("west-"));
  const std::string list = Good("list");
  const std::size_t subject = list.find("  intermediate east");
  ASSERT_NE(subject, std::string::npos) << list;
  const std::size_t line = list.rfind('\n', subject) + 1;
  const std::string serial = list.substr(line, subject - line);
  EXPECT_THAT(Good("show " + serial + " --json"), HasSubstr(R"("audit_entry":)"));
  EXPECT_THAT(Bad("revoke serial " + serial + " --reason lost"), HasSubstr("'revoke cluster'"));
  EXPECT_THAT(Good("audit show"), HasSubstr("certificate installed"));
  EXPECT_THAT(Good("install east --certificate east.pem"), HasSubstr("(active)")) << "once more";
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
  Good("issue --spiffe-id spiffe://test.example/cluster/east/node/n1 --out out");
  const Result verified =
      Run("openssl verify -x509_strict -CAfile company.pem -untrusted out/svid.pem out/svid.pem");
  EXPECT_EQ(verified.status, 0) << verified.output;
}

// As roots do that are made for good: clocks here end in 2262.
TEST_F(CompanyRootTest, MayEndInAnotherMillennium) {
  const std::string days = "2900000";
  MakeRoot(days);
  Good("init --root-certificate company.pem");
  Good("csr east --out east.csr");
  Sign("east", days);
  Good("install east --certificate east.pem");
  EXPECT_THAT(Good("list"), HasSubstr("good   2262-04-11"));
  Good("issue --spiffe-id spiffe://test.example/cluster/east/node/n1 --out out");
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

TEST_F(CompanyRootTest, IsRotatedToWhenEveryAuthorityBelowItIsThere) {
  Good("init");
  Good("cluster add east");
  Good("root prepare --certificate company.pem");
  EXPECT_THAT(Bad("root activate --force"), HasSubstr("'', 'east'"));
  Good("csr --out server.csr");
  Good("csr east --out east.csr");
  Sign("server");
  Sign("east");
  EXPECT_THAT(Good("install --certificate server.pem"), HasSubstr("(prepared)"));
  EXPECT_THAT(Bad("root activate --dry-run"), HasSubstr("no authority yet of 'east'"));
  EXPECT_THAT(Good("cluster add west"), HasSubstr("the rotation waits: root "));
  Good("install east --certificate east.pem");
  EXPECT_THAT(Bad("root activate"), HasSubstr("no authority yet of 'west'"));
  Good("csr west --out west.csr");
  Sign("west");
  Good("install west --certificate west.pem");
  EXPECT_THAT(Good("root activate"), HasSubstr("next: taint"));
}

}  // namespace
}  // namespace tombolo::ca
