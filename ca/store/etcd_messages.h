// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/store.h"

// What etcd's JSON gateway (etcd 3.4 and later) is asked and answers. Keys here are
// etcd's own, prefix and all, and may be any bytes. Internal to store.
namespace tombolo::ca {

inline constexpr char kRangePath[] = "/v3/kv/range";
inline constexpr char kTxnPath[] = "/v3/kv/txn";

struct EtcdRange {
  std::string key, end{};     // from `key` up to before `end`; no end: only `key`
  std::size_t limit = 0;      // 0: none
  std::int64_t revision = 0;  // as it was then; 0: as it is now
  bool count_only = false;    // no keys
  bool serializable = false;  // what this member knows, though it be old
};
std::string Encode(const EtcdRange& range);

// The keys of `transaction` with `prefix` before them.
std::string Encode(const Transaction& transaction, absl::string_view prefix);

struct EtcdRangeAnswer {
  std::uint64_t cluster = 0;  // its ID
  std::int64_t revision = 0;  // of the whole store, > 0
  std::vector<Stored> entries;
  bool more = false;  // beyond the limit
};
struct EtcdTxnAnswer {
  std::int64_t revision = 0;
  bool succeeded = false;  // all conditions held
};

// InvalidArgument for what etcd does not answer.
absl::StatusOr<EtcdRangeAnswer> DecodeRange(absl::string_view body);
absl::StatusOr<EtcdTxnAnswer> DecodeTxn(absl::string_view body);

// An answer that is not 200, by what it says about the request:
//   Unavailable: not carried out, another time or another member may.
//   Unknown: a change may have been made, or may yet be.
//   ResourceExhausted: not answered, because the answer is too large.
//   others: not carried out, and trying again does not help.
absl::Status EtcdError(unsigned status, absl::string_view body);

}  // namespace tombolo::ca
