// SPDX-License-Identifier: Apache-2.0
// The tombolo program as a person or a script meets it.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "admin_fixture.h"

namespace tombolo::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Result {
  int exit_code = -1;
  std::string output;  // standard output and error
};

Result RunTombolo(const std::string& arguments) {
  Result result;
  FILE* pipe = popen(absl::StrCat(TOMBOLO_PROGRAM, " ", arguments, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> chunk;
  for (std::size_t n; (n = fread(chunk.data(), 1, chunk.size(), pipe)) > 0;) {
    result.output.append(chunk.data(), n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

TEST(ProgramTest, PrintsTheAgentsJsonAsItIsAndTheTableByDefault) {
  const admin::TempDir dir;
  const std::string path = dir.File("a.sock");
  admin::ServerThread server;
  ASSERT_TRUE(server
                  .Start({.socket_path = path, .listen = std::nullopt, .limits = {}},
                         admin::TestProviders())
                  .ok());
  const Result json = RunTombolo(absl::StrCat("status --socket ", path, " --output json"));
  EXPECT_EQ(json.output, "{\"node\":\"n1\"}\n");
  EXPECT_EQ(json.exit_code, 0);
  const Result table = RunTombolo(absl::StrCat("--socket ", path, " status"));
  EXPECT_THAT(table.output, StartsWith("Node:              n1\n"));
  EXPECT_EQ(table.exit_code, 0);
}

TEST(ProgramTest, AgentThatIsAwayIsOne) {
  const admin::TempDir dir;
  const Result result = RunTombolo(absl::StrCat("status --socket ", dir.File("none.sock")));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr(dir.File("none.sock")));
}

TEST(ProgramTest, WrongUsageIsTwo) {
  EXPECT_EQ(RunTombolo("").exit_code, 2);
  EXPECT_EQ(RunTombolo("status --output xml").exit_code, 2);
  const Result unknown = RunTombolo("tunels");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, HasSubstr("tunnels"));
}

TEST(ProgramTest, VersionAndHelpAreZero) {
  const Result version = RunTombolo("--version");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.output, StartsWith("tombolo "));
  EXPECT_EQ(RunTombolo("--help").exit_code, 0);
}

TEST(ProgramTest, UnwritableOutputIsAnError) {
  const admin::TempDir dir;
  const std::string path = dir.File("a.sock");
  admin::ServerThread server;
  ASSERT_TRUE(server
                  .Start({.socket_path = path, .listen = std::nullopt, .limits = {}},
                         admin::TestProviders())
                  .ok());
  EXPECT_EQ(RunTombolo(absl::StrCat("status --socket ", path, " >/dev/full")).exit_code, 1);
}

}  // namespace
}  // namespace tombolo::cli
