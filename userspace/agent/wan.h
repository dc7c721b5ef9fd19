// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/wan_options.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// What `wan` comes to on this kernel, which is asked once, and said in the log.
net::WanOptions ChooseWanOptions(const source::AgentConfig::Wan& wan);

}  // namespace tombolo::agent
