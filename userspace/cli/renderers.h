// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <boost/json/value.hpp>

#include "absl/time/time.h"

// One function a noun of Render(): the agent's answer as text for people.
namespace tombolo::cli {

std::string RenderStatus(const boost::json::value* root, absl::Time now);
std::string RenderIdentities(const boost::json::value* root, absl::Time now);
std::string RenderServices(const boost::json::value* root, absl::Time now);
std::string RenderClusters(const boost::json::value* root, absl::Time now);
std::string RenderTopology(const boost::json::value* root, absl::Time now);
std::string RenderWorkloads(const boost::json::value* root, absl::Time now);
std::string RenderConnections(const boost::json::value* root, absl::Time now);
std::string RenderTunnels(const boost::json::value* root, absl::Time now);
std::string RenderDatapath(const boost::json::value* root, absl::Time now);

// Of the command of that name.
std::string RenderExplain(const boost::json::value* root);

}  // namespace tombolo::cli
