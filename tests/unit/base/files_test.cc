// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/source/temp_dir.h"

namespace tombolo {
namespace {

using ::testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

TEST(FilesTest, APrivateFileIsItsOwnersAlone) {
  const source::TempDir dir;
  const std::string path = dir.Path("state/node.pem");
  ASSERT_TRUE(ReplacePrivateFile(path, "one").ok());
  EXPECT_EQ(*ReadFile(path, 10), "one");
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(ModeOf(dir.Path("state")), 0700u);
  // What a crash has left, readable for everybody, is not written into.
  dir.Write("state/node.pem.new", "half of a");
  ASSERT_TRUE(ReplacePrivateFile(path, "two").ok());
  EXPECT_EQ(*ReadFile(path, 10), "two");
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(FilesTest, WhatCannotBeWrittenIsNamed) {
  const source::TempDir dir;
  dir.Write("file", "");
  const absl::Status status = ReplacePrivateFile(dir.Path("file/node.pem"), "x");
  EXPECT_THAT(std::string(status.message()), HasSubstr("file/node.pem"));
}

TEST(FilesTest, AReplacedFileHasTheModeThatIsAskedFor) {
  const source::TempDir dir;
  const std::string path = dir.Write("svid.pem", "old");
  const mode_t before = umask(077);
  EXPECT_TRUE(ReplaceFile(path, "new", 0644).ok());
  umask(before);
  EXPECT_EQ(ModeOf(path), 0644u);
  EXPECT_EQ(*ReadFile(path), "new");
  EXPECT_FALSE(CheckPrivate(path).ok());
  EXPECT_FALSE(ReplaceFile(dir.Path("none/svid.pem"), "x", 0644).ok()) << "makes no directory";
}

TEST(FilesTest, NothingBesideAReplacedFileIsTouched) {
  const source::TempDir dir;
  const std::string path = dir.Path("svid.pem");
  const std::string other = dir.Write("svid.pem.new", "an operator's");
  ASSERT_TRUE(ReplaceFile(path, "one", 0644).ok());
  ASSERT_TRUE(ReplaceFile(path, "two", 0644).ok());
  EXPECT_EQ(*ReadFile(path), "two");
  EXPECT_EQ(*ReadFile(other), "an operator's");
  const std::filesystem::directory_iterator files(std::filesystem::path(path).parent_path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 2) << "nothing is left";
}

TEST(FilesTest, OfSeveralWritersOneHasWrittenTheWhole) {
  const source::TempDir dir;
  const std::string path = dir.Path("svid.pem");
  std::vector<std::thread> writers;
  for (const char byte : {'a', 'b', 'c', 'd'}) {
    writers.emplace_back([&path, byte] {
      for (int i = 0; i < 20; ++i) {
        const absl::Status status = ReplaceFile(path, std::string(1000, byte), 0644);
        EXPECT_TRUE(status.ok()) << status;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = *ReadFile(path);
  EXPECT_EQ(text, std::string(1000, text[0]));
}

TEST(FilesTest, OnlyARegularFileIsReplaced) {
  const source::TempDir dir;
  const std::string target = dir.Write("target", "old"), link = dir.Path("stdout");
  std::filesystem::create_symlink(target, link);
  const absl::Status status = ReplaceFile(link, "new", 0644);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stdout' is there and is no regular file"));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(*ReadFile(target), "old");
  std::filesystem::create_directory(dir.Path("directory"));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReplaceFile(dir.Path("directory"), "new", 0644)));
}

TEST(FilesTest, WhatIsThereIsNotMadeAgain) {
  const source::TempDir dir;
  const std::string path = dir.Path("root.key");
  ASSERT_TRUE(CreateFile(path, "one", 0600).ok());
  EXPECT_TRUE(CheckPrivate(path).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(CreateFile(path, "two", 0600)));
  std::filesystem::create_symlink(dir.Path("target"), dir.Path("link"));
  EXPECT_TRUE(absl::IsAlreadyExists(CreateFile(dir.Path("link"), "two", 0600)));
  EXPECT_EQ(*ReadFile(path), "one");
  EXPECT_FALSE(std::filesystem::exists(dir.Path("target")));
}

TEST(FilesTest, ADirectoryIsMadeWithThoseAboveIt) {
  const source::TempDir dir;
  ASSERT_TRUE(MakeDirectory(dir.Path("a/b"), 0700).ok());
  EXPECT_EQ(ModeOf(dir.Path("a/b")), 0700u);
  EXPECT_TRUE(MakeDirectory(dir.Path("a/b"), 0755).ok());
  EXPECT_EQ(ModeOf(dir.Path("a/b")), 0700u) << "it is not new";
  const std::string file = dir.Write("file", "");
  EXPECT_TRUE(absl::IsAlreadyExists(MakeDirectory(file, 0700)));
}

TEST(FilesTest, AFileMayBeTooLarge) {
  const source::TempDir dir;
  const std::string path = dir.Write("bundle", "0123456789");
  EXPECT_EQ(ReadFile(path, 10)->size(), 10u);
  const absl::Status status = ReadFile(path, 9).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("bundle' is larger than 9 bytes"));
}

TEST(FilesTest, ARemovedFileNeedNotBeThere) {
  const source::TempDir dir;
  const std::string path = dir.Write("node.key", "");
  EXPECT_TRUE(RemoveFile(path).ok());
  EXPECT_TRUE(RemoveFile(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
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
}  // namespace tombolo
