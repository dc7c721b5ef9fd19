// SPDX-License-Identifier: Apache-2.0
#include "etcd/listing.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

constexpr std::size_t kPage = 512;  // entries of one answer

bool Within(const KeyValue& entry, const RangeRequest& range) {
  const bool unbounded = range.end.size() == 1 && range.end[0] == '\0';
  return entry.key >= range.key && (unbounded || entry.key < range.end);
}

}  // namespace

absl::StatusOr<RangeAnswer> ListEach(Client& client, RangeRequest range,
                                     const std::function<absl::Status(KeyValue)>& each) {
  const std::size_t limit = range.limit;
  std::size_t page = kPage;
  std::size_t count = 0;
  RangeAnswer header;
  for (;;) {
    range.limit = limit == 0 ? page : std::min(page, limit - count);
    absl::StatusOr<RangeAnswer> answer = client.Range(range);
    if (absl::IsResourceExhausted(answer.status()) && page > 1) {  // large values
      page /= 2;
      continue;
    }
    RETURN_IF_ERROR(answer.status());
    if (header.revision == 0) {
      header.cluster = answer->cluster;
      header.revision = answer->revision;
      header.term = answer->term;
      if (range.revision == 0) range.revision = answer->revision;
    }
    for (KeyValue& entry : answer->entries) {
      if (!Within(entry, range)) {
        return absl::DataLossError(absl::StrCat("etcd was asked for what follows '",
                                                absl::CHexEscape(range.key),
                                                "' and answered with another key"));
      }
      range.key = entry.key + '\0';
      RETURN_IF_ERROR(each(std::move(entry)));
    }
    count += answer->entries.size();
    header.more = answer->more;
    if (!answer->more || answer->entries.empty() || count == limit) return header;
  }
}

absl::StatusOr<RangeAnswer> ListAll(Client& client, RangeRequest range, std::size_t max_bytes) {
  std::vector<KeyValue> entries;
  std::size_t bytes = 0;
  ASSIGN_OR_RETURN(RangeAnswer all, ListEach(client, std::move(range), [&](KeyValue entry) {
                     bytes += entry.key.size() + entry.value.size();
                     if (bytes > max_bytes) {
                       return absl::ResourceExhaustedError(
                           absl::StrCat("the keys have more than ", max_bytes, " bytes"));
                     }
                     entries.push_back(std::move(entry));
                     return absl::OkStatus();
                   }));
  all.entries = std::move(entries);
  return all;
}

}  // namespace tombolo::etcd
