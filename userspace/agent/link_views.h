// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>

#include "admin/metrics.h"
#include "agent/dialed_links.h"
#include "link/stock.h"

// What a gateway tells of its links (docs/admin-api.md), made of plain values.
namespace tombolo::agent {

struct LinkViews {
  std::vector<DialedLinkView> dialed;
  DialedLinkCounts dialed_counts;
  std::vector<link::Stock::LinkView> accepted;
  // (cluster, gateway) that may dial, by the directory: those without a link are down.
  std::set<std::pair<std::string, std::string>> expected;
  link::Stock::Counts counts;
};

boost::json::array LinksJson(const LinkViews& views, MonotonicTime now);
std::vector<admin::Sample> LinkSamples(const LinkViews& views);

}  // namespace tombolo::agent
