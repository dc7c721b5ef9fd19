// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// The audit log: entries under audit/<sequence>, from 1 on without gaps, each of
// which names the digest of the one before it, and the head, which names the last.
// Every change of the store writes the head on the condition that it is the one
// that it follows.
namespace tombolo::ca {

inline constexpr char kAudit[] = "audit/";
inline constexpr char kHeadKey[] = "head";
inline constexpr std::int64_t kMaxSequence = 999'999'999'999'999'999;

struct AuditEntry {
  std::int64_t sequence = 0;
  WallTime time{};
  std::string event{};    // what happened: "certificate issued"
  std::string actor{};    // who did it
  std::string subject{};  // to whom or what
  std::map<std::string, std::string> details{};
  std::map<std::string, std::string> writes{};  // key -> SHA-256 of the value, in hex
  std::vector<std::string> deletes{};
  std::string transaction{};  // random; entries that were committed together share it
  std::string previous{};     // SHA-256 of the entry before it, as stored, in hex
};

// The end of the log.
struct AuditHead {
  std::int64_t sequence = 0;  // 0: no entry yet
  std::string digest{};       // of that entry, as stored
  // The last entries that changed a revocation or a document: for Changes.
  std::int64_t revocation = 0, document = 0;
};

// What the first entry follows.
AuditHead FirstHead();

std::string AuditKey(std::int64_t sequence);
std::string Encode(const AuditEntry& entry);
std::string Encode(const AuditHead& head);

// DataLoss; the message names the key and the field.
absl::StatusOr<AuditEntry> DecodeEntry(const std::string& key, absl::string_view value);
absl::StatusOr<AuditHead> DecodeHead(absl::string_view value);

}  // namespace tombolo::ca
