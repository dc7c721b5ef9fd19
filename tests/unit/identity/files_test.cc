// SPDX-License-Identifier: Apache-2.0
#include "identity/files.h"

#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/source/temp_dir.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

TEST(FilesTest, AReplacedFileIsItsOwnersAlone) {
  const source::TempDir dir;
  const std::string path = dir.Path("state/node.pem");
  ASSERT_TRUE(ReplaceFile(path, "one").ok());
  EXPECT_EQ(*ReadFile(path, 10), "one");
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(ModeOf(dir.Path("state")), 0700u);
  // What a crash has left, readable for everybody, is not written into.
  dir.Write("state/node.pem.new", "half of a");
  ASSERT_TRUE(ReplaceFile(path, "two").ok());
  EXPECT_EQ(*ReadFile(path, 10), "two");
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(FilesTest, WhatCannotBeWrittenIsNamed) {
  const source::TempDir dir;
  dir.Write("file", "");
  const absl::Status status = ReplaceFile(dir.Path("file/node.pem"), "x");
  EXPECT_THAT(std::string(status.message()), HasSubstr("file/node.pem"));
}

TEST(FilesTest, AMissingFileIsNotFound) {
  const source::TempDir dir;
  EXPECT_TRUE(absl::IsNotFound(ReadFile(dir.Path("none"), 10).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadToken(dir.Path("none")).status()));
}

TEST(FilesTest, ATokenIsOneWord) {
  const source::TempDir dir;
  EXPECT_EQ(*ReadToken(dir.Write("token", "  ey.J-_x \n")), "ey.J-_x");
  for (const char* bad : {"", "\n", "two words", "a\r\nX-Other: b", "\x7f"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(ReadToken(dir.Write("token", bad)).status())) << bad;
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(ReadToken(dir.Write("token", std::string(9000, 'x'))).status()));
}

}  // namespace
}  // namespace tombolo::identity
