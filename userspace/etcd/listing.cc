// SPDX-License-Identifier: Apache-2.0
#include "etcd/listing.h"

#include <algorithm>
#include <iterator>
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

absl::StatusOr<RangeAnswer> ListAll(Client& client, RangeRequest range, std::size_t max_bytes,
                                    Account* account) {
  const std::size_t limit = range.limit;
  std::size_t page = kPage;
  std::size_t bytes = 0;
  RangeAnswer all;
  for (;;) {
    range.limit = limit == 0 ? page : std::min(page, limit - all.entries.size());
    absl::StatusOr<RangeAnswer> answer = client.Range(range);
    if (absl::IsResourceExhausted(answer.status()) && page > 1) {  // large values
      page /= 2;
      continue;
    }
    RETURN_IF_ERROR(answer.status());
    if (all.revision == 0) {
      all.cluster = answer->cluster;
      all.revision = answer->revision;
      all.term = answer->term;
      if (range.revision == 0) range.revision = answer->revision;
    }
    const bool last = !answer->more || answer->entries.empty();
    std::vector<KeyValue>& entries = answer->entries;
    for (const KeyValue& entry : entries) {
      if (!Within(entry, range)) {
        return absl::DataLossError(absl::StrCat("etcd was asked for what follows '",
                                                absl::CHexEscape(range.key),
                                                "' and answered with another key"));
      }
      range.key = entry.key + '\0';
    }
    if (account != nullptr) {
      std::erase_if(entries, [account](KeyValue& entry) {
        account->Clip(entry);
        return !account->Admit(entry);
      });
    }
    for (const KeyValue& entry : entries) bytes += entry.key.size() + entry.value.size();
    if (bytes > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the keys have more than ", max_bytes, " bytes"));
    }
    all.entries.insert(all.entries.end(), std::make_move_iterator(entries.begin()),
                       std::make_move_iterator(entries.end()));
    all.more = answer->more;
    if (last || all.entries.size() == limit) return all;
  }
}

}  // namespace tombolo::etcd
