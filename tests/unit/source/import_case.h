// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/directory_import.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {

inline constexpr char kWeb[] = "clusters/west/services/shop/web";

// All that was refused and told, as "key: reason".
inline std::vector<std::string> Refused(const ImportedDirectory& imported) {
  std::vector<std::string> refused;
  for (const auto& [of, group] : imported.refusals.groups()) {
    for (const Refusal& refusal : group.told) {
      EXPECT_EQ(refusal.cluster, of.first);
      EXPECT_FALSE(refusal.what.empty());
      refused.push_back(absl::StrCat(refusal.key, ": ", Name(refusal.reason)));
    }
  }
  return refused;
}

inline const mesh::ServicePort* PortOf(const ImportedDirectory& imported, absl::string_view service,
                                       std::uint16_t port = 80) {
  const mesh::Service* found = imported.snapshot->FindService(service);
  return found == nullptr ? nullptr : found->FindPort(port);
}

inline bool Served(const ImportedDirectory& imported) {
  const mesh::ServicePort* port = PortOf(imported, "shop/web");
  return port != nullptr && !port->endpoints.empty();
}

}  // namespace tombolo::source
