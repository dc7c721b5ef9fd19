// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxKey = 512;

absl::Status CheckCount(absl::string_view what, std::size_t count, std::size_t limit) {
  if (count <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a transaction with ", count, " ", what, "; the store takes ", limit));
}

}  // namespace

absl::Status CheckKey(absl::string_view key) {
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (printable && !key.empty() && key.size() <= kMaxKey) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", absl::CHexEscape(key.substr(0, kMaxKey)),
                   "' is not a key: 1 to 512 printable characters without spaces"));
}

absl::Status CheckTransaction(const Transaction& transaction, const Store::Limits& limits) {
  RETURN_IF_ERROR(CheckCount("conditions", transaction.conditions.size(), limits.operations));
  RETURN_IF_ERROR(CheckCount("changes", transaction.puts.size() + transaction.deletes.size(),
                             limits.operations));
  std::size_t bytes = 0;
  for (const Transaction::Condition& condition : transaction.conditions) {
    RETURN_IF_ERROR(CheckKey(condition.key));
    bytes += condition.key.size();
  }
  absl::flat_hash_set<absl::string_view> changed;
  for (const Transaction::Put& put : transaction.puts) {
    changed.insert(put.key);
    RETURN_IF_ERROR(CheckKey(put.key));
    bytes += put.key.size() + put.value.size();
  }
  for (const std::string& key : transaction.deletes) {
    changed.insert(key);
    RETURN_IF_ERROR(CheckKey(key));
    bytes += key.size();
  }
  if (changed.size() != transaction.puts.size() + transaction.deletes.size()) {
    return absl::InvalidArgumentError("a transaction that changes a key twice");
  }
  return CheckCount("bytes", bytes, limits.bytes);
}

}  // namespace tombolo::ca
