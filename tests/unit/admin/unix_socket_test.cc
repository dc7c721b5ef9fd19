// SPDX-License-Identifier: Apache-2.0
#include "admin/unix_socket.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin_fixture.h"

namespace tombolo::admin {
namespace {

using testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 ? file.st_mode & 07777 : 0;
}

// What a killed agent leaves: a socket file that nobody listens on.
void LeaveStale(const std::string& path) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

TEST(UnixSocketTest, OnlyTheOwnerMayOpenItWhateverTheUmask) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  const mode_t before = umask(0);
  const auto listener = UnixListener::Create(path);
  umask(before);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(path), 0600);
}

TEST(UnixSocketTest, ReplacesAStaleSocket) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  LeaveStale(path);
  const auto listener = UnixListener::Create(path);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(RawClient::Unix(path).connected());
}

TEST(UnixSocketTest, RefusesALiveSocketAndLeavesItAlone) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  const auto first = UnixListener::Create(path);
  const auto second = UnixListener::Create(path);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(path));
  EXPECT_TRUE(RawClient::Unix(path).connected());
}

TEST(UnixSocketTest, NeverRemovesWhatIsNotASocket) {
  const TempDir dir;
  const std::string path = dir.File("precious");
  std::ofstream(path) << "data";
  const auto listener = UnixListener::Create(path);
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST(UnixSocketTest, NamesTheMissingDirectory) {
  const TempDir dir;
  const auto listener = UnixListener::Create(dir.File("none/a.sock"));
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr(dir.File("none")));
}

TEST(UnixSocketTest, RefusesAPathThatTheKernelWouldCut) {
  const auto listener = UnixListener::Create("/" + std::string(200, 'x'));
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(UnixSocketTest, RemovesItsOwnFileOnly) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  {
    const auto listener = UnixListener::Create(path);
    ASSERT_TRUE(listener.ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    const auto listener = UnixListener::Create(path);
    ASSERT_TRUE(listener.ok());
    std::filesystem::rename(path, dir.File("moved"));
    LeaveStale(path);
  }
  EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace tombolo::admin
