// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "datapath/datapath.h"
#include "net/address.h"
#include "testing/cgroup.h"
#include "testing/sandbox.h"
#include "testing/skip.h"

namespace tombolo::datapath {

inline constexpr const char* kVip = "10.96.0.10:80";
inline constexpr const char* kVip6 = "[fd00:96::10]:80";
inline constexpr std::uint16_t kListenerPort = 15001;

net::SocketAddress Address(const std::string& text);

// One connect(). Nothing is routed out of the sandbox, so ENETUNREACH says that
// the destination was left as it was.
struct Attempt {
  Fd socket;
  int error = 0;
};

enum class Via {
  kNative,  // a socket of the address's own family
  kMapped,  // an IPv6 socket and ::ffff:a.b.c.d
};

// A datapath with the two VIPs above as one allowed service, and two listeners.
// The cgroups: root_ (programs are attached here) with workload_, stranger_ (not
// enrolled) and agent_ (exempt) below it.
class DatapathTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void Open();
  void Apply();
  void Listen();
  Attempt Connect(const test::Cgroup& from, const std::string& to, Via via = Via::kNative,
                  int flags = 0);
  int ConnectError(const test::Cgroup& from, const std::string& to, Via via = Via::kNative);
  // Accepts on the listener of that family and takes what the hook stored.
  absl::StatusOr<OriginalDestination> AcceptAndTake(const Fd& listener);
  std::uint64_t Count(const std::string& counter) const;
  std::uint32_t Entries(const std::string& map) const;

  test::Sandbox sandbox_;
  test::Cgroup root_, workload_, stranger_, agent_;
  Datapath::Options options_;
  std::unique_ptr<Datapath> datapath_;
  DesiredState desired_;
  Fd listener4_, listener6_;
};

Fd ListenOn(const std::string& address);
std::string PeerOf(const Fd& socket);

}  // namespace tombolo::datapath
