// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "source/shared_directory.h"

namespace tombolo::source {

// What the directory in etcd said last, as a text for a file, so that an agent can start while
// etcd is away:
//
//   tombolo-directory 1
//   {"cluster":"east","entries":2,"bytes":211,"crc32":305419896}
//   admin/clusters/west {"gateways":["203.0.113.0/24"],"draining":false}
//   clusters/west/gateways/g1 {"address":"203.0.113.10:15443"}
//
// It is judged when it is read as etcd's keys are: it makes nobody trusted.
inline constexpr std::size_t kMaxArchiveBytes = 512 * 1024 * 1024;

std::string Archive(const SharedDirectory& shared);

// DataLoss: torn or changed. FailedPrecondition: of another version or cluster.
absl::StatusOr<SharedDirectory> Unarchive(absl::string_view text, const std::string& own);

}  // namespace tombolo::source
