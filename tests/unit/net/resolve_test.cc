// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::net {
namespace {

using Addresses = absl::StatusOr<std::vector<SocketAddress>>;
using testing::ElementsAre;
using testing::HasSubstr;

Addresses Look(const std::string& host, Duration patience = std::chrono::seconds(20)) {
  asio::io_context io;
  std::optional<Addresses> result;
  asio::co_spawn(io, Resolve(host, 80, After(patience)),
                 [&](const std::exception_ptr& error, Addresses found) {
                   if (error) std::rethrow_exception(error);
                   result = std::move(found);
                 });
  io.run();
  return *std::move(result);
}

TEST(ResolveTest, AnAddressIsItself) {
  EXPECT_THAT(*Look("10.0.0.1"), ElementsAre(*SocketAddress::Parse("10.0.0.1:80")));
  EXPECT_THAT(*Look("fd00::1"), ElementsAre(*SocketAddress::Parse("[fd00::1]:80")));
}

TEST(ResolveTest, ANameOfTheHostsFile) {
  const Addresses found = Look("localhost");
  ASSERT_TRUE(found.ok()) << found.status();
  for (const SocketAddress& address : *found) {
    EXPECT_TRUE(address.ip.is_loopback()) << address.ToString();
    EXPECT_EQ(address.port, 80);
  }
}

TEST(ResolveTest, ANameThatNobodyHasIsQuoted) {
  // A label of 64 bytes: no server is asked.
  const std::string name(64, 'x');
  const Addresses found = Look(name);
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("look up '" + name + "'"));
}

}  // namespace
}  // namespace tombolo::net
