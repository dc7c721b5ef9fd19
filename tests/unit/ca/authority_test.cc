// SPDX-License-Identifier: Apache-2.0
#include "authority.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "testing/temporary_directory.h"
#include "tls/credentials.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

int ModeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<int>(info.st_mode & 07777) : -1;
}

std::size_t FilesIn(const std::string& path) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path),
                                                std::filesystem::directory_iterator()));
}

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest() { EXPECT_TRUE(Authority::Init(root_, "test.example").ok()); }

  SpiffeId Id(const std::string& text) const { return *SpiffeId::Parse(text); }

  TemporaryDirectory directory_;
  std::string root_ = directory_ / "ca";
};

TEST_F(AuthorityTest, InitKeepsTheKeyPrivateWhateverTheUmask) {
  EXPECT_EQ(ModeOf(root_), 0700);
  EXPECT_EQ(ModeOf(root_ + "/root.key"), 0600);
  EXPECT_EQ(ModeOf(root_ + "/root.pem"), 0644);
  const mode_t before = umask(0);
  EXPECT_TRUE(Authority::Init(directory_ / "open", "test.example").ok());
  umask(077);
  EXPECT_TRUE(Authority::Init(directory_ / "closed", "test.example").ok());
  umask(before);
  EXPECT_EQ(ModeOf(directory_ / "open/root.key"), 0600);
  EXPECT_EQ(ModeOf(directory_ / "closed/root.pem"), 0644);
}

TEST_F(AuthorityTest, InitNeverOverwrites) {
  const std::string key = *ReadFile(root_ + "/root.key");
  const std::string root = *ReadFile(root_ + "/root.pem");
  EXPECT_TRUE(absl::IsAlreadyExists(Authority::Init(root_, "test.example")));
  std::filesystem::remove(root_ + "/root.key");
  EXPECT_TRUE(absl::IsAlreadyExists(Authority::Init(root_, "test.example")));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/root.key")) << "takes back what it made";
  EXPECT_EQ(*ReadFile(root_ + "/root.pem"), root);
  std::filesystem::remove(root_ + "/root.pem");
  ASSERT_TRUE(CreateFile(root_ + "/root.key", key, 0600).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Authority::Init(root_, "test.example")));
  EXPECT_EQ(*ReadFile(root_ + "/root.key"), key);
}

TEST_F(AuthorityTest, InitDoesNotFollowALink) {
  const std::string target = directory_ / "target";
  ASSERT_TRUE(MakeDirectory(directory_ / "linked", 0700).ok());
  std::filesystem::create_symlink(target, directory_ / "linked/root.key");
  EXPECT_TRUE(absl::IsAlreadyExists(Authority::Init(directory_ / "linked", "test.example")));
  EXPECT_FALSE(std::filesystem::exists(target));
}

TEST_F(AuthorityTest, InitRefusesABadTrustDomain) {
  EXPECT_TRUE(absl::IsInvalidArgument(Authority::Init(directory_ / "x", "Test Example")));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "x"));
}

TEST_F(AuthorityTest, IssuesWhatTheAgentTakes) {
  const auto authority = Authority::Open(root_);
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_EQ(authority->trust_domain(), "test.example");
  const auto svid = authority->Issue(Id("spiffe://test.example/a"), std::chrono::hours(1));
  ASSERT_TRUE(svid.ok()) << svid.status();
  ASSERT_TRUE(WriteSvid(directory_ / "out/a", *svid).ok());
  EXPECT_EQ(ModeOf(directory_ / "out/a/key.pem"), 0600);
  EXPECT_EQ(ModeOf(directory_ / "out/a/svid.pem"), 0644);
  EXPECT_EQ(ModeOf(directory_ / "out/a/bundle.pem"), 0644);
  const auto credentials =
      tls::Credentials::FromPem({.chain = *ReadFile(directory_ / "out/a/svid.pem"),
                                 .key = *ReadFile(directory_ / "out/a/key.pem"),
                                 .bundle = *ReadFile(directory_ / "out/a/bundle.pem"),
                                 .chain_name = "svid.pem",
                                 .key_name = "key.pem",
                                 .bundle_name = "bundle.pem"});
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ((*credentials)->id().text(), "spiffe://test.example/a");
}

TEST_F(AuthorityTest, ReplacesAnSvidAndLeavesNoTemporaryFiles) {
  const auto authority = Authority::Open(root_);
  for (int i = 0; i < 2; ++i) {
    const auto svid = authority->Issue(Id("spiffe://test.example/a"), std::chrono::hours(1));
    ASSERT_TRUE(svid.ok() && WriteSvid(directory_ / "out", *svid).ok());
    EXPECT_EQ(*ReadFile(directory_ / "out/svid.pem"), svid->certificate);
  }
  EXPECT_EQ(FilesIn(directory_ / "out"), 3);
}

TEST_F(AuthorityTest, RefusesOtherTrustDomainsAndLifetimes) {
  const auto authority = Authority::Open(root_);
  using std::chrono::hours;
  using std::chrono::seconds;
  EXPECT_TRUE(
      absl::IsInvalidArgument(authority->Issue(Id("spiffe://other.example/a"), hours(1)).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(authority->Issue(Id("spiffe://test.example"), hours(1)).status()));
  const SpiffeId id = Id("spiffe://test.example/a");
  EXPECT_TRUE(authority->Issue(id, seconds(300)).ok());
  EXPECT_TRUE(authority->Issue(id, hours(24)).ok());
  const auto too_short = authority->Issue(id, seconds(299));
  EXPECT_EQ(too_short.status().message(), "time to live 4m59s is outside 5m to 24h");
  EXPECT_FALSE(authority->Issue(id, hours(24) + seconds(1)).ok());
  EXPECT_FALSE(authority->Issue(id, seconds(-1)).ok());
}

TEST_F(AuthorityTest, OpenRefusesAKeyThatOthersRead) {
  ASSERT_EQ(chmod((root_ + "/root.key").c_str(), 0640), 0);
  const auto authority = Authority::Open(root_);
  EXPECT_TRUE(absl::IsPermissionDenied(authority.status()));
  EXPECT_THAT(std::string(authority.status().message()), HasSubstr("/ca/root.key"));
}

TEST_F(AuthorityTest, OpenNamesWhatIsWrong) {
  EXPECT_TRUE(absl::IsNotFound(Authority::Open(directory_ / "none").status()));
  ASSERT_TRUE(ReplaceFile(root_ + "/root.pem", "rubbish", 0644).ok());
  EXPECT_THAT(std::string(Authority::Open(root_).status().message()),
              HasSubstr("/ca/root.pem: no certificate in PEM"));
}

}  // namespace
}  // namespace tombolo::ca
