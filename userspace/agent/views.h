// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "admin/metrics.h"
#include "agent/context.h"
#include "agent/counters.h"
#include "agent/data_thread.h"
#include "agent/enrolment.h"
#include "base/time.h"
#include "datapath/datapath.h"
#include "identity/issuance.h"
#include "tls/kernel_tls_probe.h"

// What the admin API shows (docs/admin-api.md), as JSON made from plain values.
namespace tombolo::agent {

// Of one data thread; called on that thread.
boost::json::array ConnectionsOf(const Context& context);
boost::json::array TunnelsOf(const Context& context);
// One connection, and the rule that allows it now.
std::optional<boost::json::object> ConnectionOf(const Context& context, const std::string& id);

struct ThreadSummary {
  std::size_t dialed = 0;
  std::size_t accepted = 0;
  std::size_t idle_tunnels = 0;
  std::size_t busy_tunnels = 0;
  std::size_t accepted_tunnels = 0;
  std::size_t closing_tunnels = 0;  // dialed, after a failure
};
ThreadSummary Summarize(const Context& context);

boost::json::object WorkloadsJson(const mesh::Snapshot& snapshot,
                                  const std::map<std::string, Enrolment::Entry>& entries);
boost::json::object DatapathJson(const datapath::Datapath& datapath, const std::string& instance,
                                 const std::string& pin_directory);
// `renewals` is null when identities are files.
boost::json::array IdentitiesJson(const identity::Store& store,
                                  const identity::IssuanceView* renewals);
boost::json::object AuthorityJson(const identity::IssuanceView& view);
// `wanted` is the configured mode.
boost::json::object RelayJson(absl::string_view wanted, bool in_kernel,
                              const tls::KernelTlsReport& report);

std::string Rfc3339(WallTime time);

// Samples for /metrics.
std::vector<admin::Sample> CounterSamples(const Counters& counters);
std::vector<admin::Sample> DatapathSamples(const datapath::Datapath& datapath);
std::vector<admin::Sample> IdentitySamples(const identity::Store& store);
std::vector<admin::Sample> AuthoritySamples(const identity::IssuanceView& view);
std::vector<admin::Sample> RelaySamples(bool in_kernel, const tls::KernelTlsReport& report);

}  // namespace tombolo::agent
