// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// What etcd's JSON gateway (etcd 3.4 and later) is asked about keys, and answers. Keys
// and values may be any bytes.
namespace tombolo::etcd {

inline constexpr char kRangePath[] = "/v3/kv/range";
inline constexpr char kTxnPath[] = "/v3/kv/txn";

struct KeyValue {
  std::string key{}, value{};
  std::int64_t mod_revision = 0;     // of the last change, > 0
  std::int64_t create_revision = 0;  // of the first one since the key has been there
  std::int64_t version = 0;          // how many changes since then; 0: it was deleted
  std::int64_t lease = 0;            // that it lives with; 0: none
};

struct RangeRequest {
  std::string key, end{};     // from `key` up to before `end`; no end: only `key`
  std::size_t limit = 0;      // 0: none
  std::int64_t revision = 0;  // as it was then; 0: as it is now
  bool count_only = false;    // no keys
  bool serializable = false;  // what this member knows, though it be old
};

// The end of the range of all keys that begin with `prefix`; "\0", which is etcd's for
// all keys from there on, when there is no greater one.
std::string PrefixEnd(absl::string_view prefix);

// A condition on one key. A key that is not there has the revisions, the version and the
// lease 0.
struct Compare {
  enum class Target { kModRevision, kCreateRevision, kVersion, kLease, kValue };
  enum class Result { kEqual, kNotEqual, kGreater, kLess };
  std::string key;
  Target target = Target::kModRevision;
  Result result = Result::kEqual;
  std::int64_t number = 0;  // for all targets but kValue
  std::string value{};
};

struct Operation {
  enum class Kind { kPut, kDelete, kRange };
  Kind kind = Kind::kPut;
  std::string key{}, value{};
  std::string end{};       // of kDelete and kRange; no end: only `key`
  std::int64_t lease = 0;  // of kPut

  static Operation Put(std::string key, std::string value, std::int64_t lease = 0);
  static Operation Delete(std::string key, std::string end = "");  // of nothing is no error
  static Operation Range(std::string key, std::string end = "");
};

// All of `then`, or all of `otherwise` when a condition does not hold. No key may be
// changed twice.
struct Txn {
  std::vector<Compare> compares{};
  std::vector<Operation> then{}, otherwise{};
};

std::string Encode(const RangeRequest& range);
std::string Encode(const Txn& txn);

struct RangeAnswer {
  std::uint64_t cluster = 0;  // its ID
  std::int64_t revision = 0;  // of the whole store, > 0
  std::uint64_t term = 0;     // of raft; grows while the cluster's history is one
  std::vector<KeyValue> entries{};
  bool more = false;  // beyond the limit
};
struct TxnAnswer {
  std::int64_t revision = 0;
  bool succeeded = false;  // all conditions held
  // One for each operation that was carried out; only those of ranges hold anything.
  std::vector<std::vector<KeyValue>> ranges{};
};

// InvalidArgument for what etcd does not answer.
absl::StatusOr<RangeAnswer> DecodeRange(absl::string_view body);
absl::StatusOr<TxnAnswer> DecodeTxn(absl::string_view body);

// An answer that is not 200, by what it says about the request:
//   Unavailable: not carried out, another time or another member may.
//   Unknown: a change may have been made, or may yet be.
//   ResourceExhausted: not answered, because the answer is too large.
//   others: not carried out, and trying again does not help.
absl::Status ErrorOf(unsigned status, absl::string_view body);

}  // namespace tombolo::etcd
