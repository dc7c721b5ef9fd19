// SPDX-License-Identifier: Apache-2.0
// The tombolo-ca command, and OpenSSL's judgement of what it makes.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/shell.h"
#include "testing/skip.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using Result = testing::ShellResult;
using testing::Shell;
using testing::TemporaryDirectory;

class CommandTest : public ::testing::Test {
 protected:
  Result Ca(const std::string& arguments) const {
    return Shell(std::string(TOMBOLO_CA " ") + arguments);
  }
  Result Init() const {
    return Ca("init --trust-domain test.example --dir " + (directory_ / "ca"));
  }
  Result Issue(const std::string& more) const {
    return Ca("issue --dir " + (directory_ / "ca") + " --out " + (directory_ / "out") + " " + more);
  }

  TemporaryDirectory directory_;
};

TEST_F(CommandTest, OpensslVerifiesTheChainStrictly) {
  if (Shell("openssl version").status != 0) TOMBOLO_SKIP_WITHOUT("the openssl command");
  ASSERT_EQ(Init().status, 0);
  const Result issued = Issue("--spiffe-id spiffe://test.example/cluster/east/ns/a/sa/b");
  ASSERT_EQ(issued.status, 0) << issued.output;
  EXPECT_THAT(issued.output, HasSubstr("valid until 20"));
  for (const char* purpose : {"sslclient", "sslserver"}) {
    const Result verified =
        Shell("openssl verify -x509_strict -purpose " + std::string(purpose) + " -CAfile " +
              (directory_ / "out/bundle.pem") + " " + (directory_ / "out/svid.pem"));
    EXPECT_EQ(verified.status, 0) << verified.output;
  }
  const Result text = Shell("openssl x509 -noout -text -in " + (directory_ / "out/svid.pem"));
  EXPECT_THAT(text.output, HasSubstr("URI:spiffe://test.example/cluster/east/ns/a/sa/b"));
  EXPECT_THAT(text.output, HasSubstr("Key Usage: critical"));
  EXPECT_THAT(text.output, HasSubstr("CA:FALSE"));
}

TEST_F(CommandTest, InitRefusesToOverwrite) {
  ASSERT_EQ(Init().status, 0);
  const Result again = Init();
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.output, HasSubstr("/ca/root.key': File exists"));
}

TEST_F(CommandTest, InitLeavesAConfigurationThatIsThere) {
  ASSERT_EQ(Shell("mkdir " + (directory_ / "ca") + " && echo mine > " + (directory_ / "ca/ca.yaml"))
                .status,
            0);
  const Result made = Init();
  EXPECT_EQ(made.status, 1);
  EXPECT_THAT(made.output, HasSubstr("/ca/ca.yaml': File exists"));
  EXPECT_EQ(Shell("cd " + (directory_ / "ca") + " && ls && cat ca.yaml").output, "ca.yaml\nmine\n");
}

TEST_F(CommandTest, IssueSaysWhatIsWrong) {
  EXPECT_THAT(Issue("--spiffe-id spiffe://test.example/a").output,
              HasSubstr("/ca/root.key': No such file or directory"));
  ASSERT_EQ(Init().status, 0);
  EXPECT_THAT(Issue("--spiffe-id spiffe://other.example/a").output,
              HasSubstr("'spiffe://other.example/a' is not a workload of trust domain"));
  EXPECT_THAT(Issue("--spiffe-id http://x").output, HasSubstr("does not begin with spiffe://"));
  EXPECT_THAT(Issue("--spiffe-id spiffe://test.example/a --ttl 25h").output,
              HasSubstr("time to live 25h is outside 5m to 24h"));
  EXPECT_THAT(Issue("--spiffe-id spiffe://test.example/a --ttl soon").output,
              HasSubstr("--ttl: 'soon' is not a duration"));
  EXPECT_NE(Ca("").status, 0);
}

}  // namespace
}  // namespace tombolo::ca
