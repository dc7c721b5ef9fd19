// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin_fixture.h"

namespace tombolo::cli {
namespace {

using admin::ServerThread;
using admin::TempDir;
using testing::HasSubstr;

constexpr auto kTimeout = std::chrono::seconds(5);

std::string Error(const absl::StatusOr<std::string>& result) {
  return std::string(result.status().message());
}

class ClientTest : public testing::Test {
 protected:
  void Start() {
    ASSERT_TRUE(server_
                    .Start({.socket_path = path_, .listen = std::nullopt, .limits = {}},
                           admin::TestProviders())
                    .ok());
  }
  TempDir dir_;
  std::string path_ = dir_.File("a.sock");
  ServerThread server_;
};

TEST_F(ClientTest, GetsTheBody) {
  Start();
  const auto body = Get(path_, "/v1/status", kTimeout);
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "{\"node\":\"n1\"}\n");
}

TEST_F(ClientTest, TellsWhatTheAgentSaid) {
  Start();
  const auto body = Get(path_, "/v1/nothing", kTimeout);
  EXPECT_THAT(Error(body), HasSubstr("no '/v1/nothing' here"));
}

TEST_F(ClientTest, MissingSocketSaysWhatToDo) {
  const auto body = Get(path_, "/v1/status", kTimeout);
  EXPECT_THAT(Error(body), HasSubstr(path_));
  EXPECT_THAT(Error(body), HasSubstr("use --socket"));
}

TEST_F(ClientTest, DeadSocketSaysThatTheAgentStopped) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_THAT(Error(Get(path_, "/v1/status", kTimeout)), HasSubstr("nobody listens"));

  ASSERT_EQ(listen(fd.get(), 1), 0);  // accepts in the kernel, never answers
  const auto silent = Get(path_, "/v1/status", std::chrono::milliseconds(100));
  EXPECT_EQ(silent.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, RefusesALongPath) {
  EXPECT_THAT(Error(Get("/" + std::string(200, 'x'), "/v1/status", kTimeout)),
              HasSubstr("longer than 107 bytes"));
}

}  // namespace
}  // namespace tombolo::cli
