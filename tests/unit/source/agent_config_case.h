// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/agent_config.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {

inline constexpr char kRequired[] =
    "cluster: east\nnode: east-1\ndirectory: directory.yaml\n"
    "identity: {svids: svids, bundle: /etc/bundle.pem}\n";

class AgentConfigTest : public testing::Test {
 protected:
  absl::StatusOr<AgentConfig> Load(absl::string_view text) {
    return LoadAgentConfig(dir_.Write("agent.yaml", text));
  }
  // The error for the required keys and `more`, without the directory's name.
  std::string ErrorOf(absl::string_view more) {
    const auto config = Load(absl::StrCat(kRequired, more));
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << more;
    const std::string message(config.status().message());
    const std::string prefix = dir_.Path("");
    EXPECT_EQ(message.rfind(prefix, 0), 0u) << message;
    return message.substr(prefix.size());
  }

  TempDir dir_;
};

}  // namespace tombolo::source
