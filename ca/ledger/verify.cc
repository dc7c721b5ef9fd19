// SPDX-License-Identifier: Apache-2.0
#include "ledger/verify.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ledger/operations.h"
#include "ledger/reader.h"
#include "ledger/records.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxFindings = 100;
constexpr std::size_t kPage = 500;

// A record as the log has it; a digest of "" is one that was deleted.
struct Written {
  std::string digest;
  std::int64_t sequence = 0;
};

class Verifier {
 public:
  Verifier(Store& store, const std::string& expected)
      : store_(store), expected_(expected), expected_seen_(expected.empty()) {}

  // The log is read again, as far as it has grown, when the records have been:
  // what differs may have been written meanwhile.
  absl::StatusOr<VerifyReport> Run() {
    RETURN_IF_ERROR(WalkLog());
    for (const char* prefix : {kCertificates, kTokens, kRevocations, kDocuments, kPruned}) {
      RETURN_IF_ERROR(CompareRecords(prefix));
    }
    FindMissing();
    RETURN_IF_ERROR(WalkLog());
    Conclude();
    RETURN_IF_ERROR(CheckBeyond());
    if (!expected_seen_) {
      Find(absl::StrCat("the log has no entry with the expected digest ", expected_,
                        ": it was rewritten or cut off"));
    }
    return std::move(report_);
  }

 private:
  struct Difference {
    std::string digest;  // as it was read; "": it is not there
    Written written;     // as the log has it
  };

  void Find(std::string finding) {
    std::vector<std::string>& findings = report_.findings;
    // The log's end is looked at twice.
    if (std::find(findings.begin(), findings.end(), finding) != findings.end()) return;
    if (findings.size() < kMaxFindings) findings.push_back(std::move(finding));
  }

  // From where the last walk ended up to the head of now.
  absl::Status WalkLog() {
    const absl::StatusOr<Reader::Head> head = Reader(store_).FindHead();
    if (absl::IsDataLoss(head.status())) {
      if (!head_is_bad_) Find(std::string(head.status().message()));
      head_is_bad_ = true;
    } else {
      RETURN_IF_ERROR(head.status());
    }
    const std::int64_t end = head.ok() ? head->head.sequence : kMaxSequence;
    RETURN_IF_ERROR(WalkTo(end));
    if (!head.ok()) return absl::OkStatus();
    for (; next_ <= end; ++next_) {
      Find(absl::StrCat("entry ", next_, " is missing: the log was cut off before its head"));
      if (report_.findings.size() >= kMaxFindings) break;
    }
    report_.head = head->head;
    if (next_ == end + 1 && previous_ != head->head.digest && !previous_.empty()) {
      Find(absl::StrCat("entry ", end, " is not the one that the head names"));
    }
    return absl::OkStatus();
  }

  absl::Status WalkTo(std::int64_t end) {
    while (next_ <= end) {
      ASSIGN_OR_RETURN(const std::vector<Stored> page,
                       store_.List(kAudit, AuditKey(next_ - 1), kPage));
      for (const Stored& stored : page) {
        if (stored.key > AuditKey(end)) return absl::OkStatus();
        CheckEntry(stored);
      }
      if (page.size() < kPage) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  void CheckEntry(const Stored& stored) {
    std::int64_t sequence = 0;
    const absl::string_view digits = absl::string_view(stored.key).substr(sizeof(kAudit) - 1);
    if (!absl::SimpleAtoi(digits, &sequence) || AuditKey(sequence) != stored.key) {
      return Find(absl::StrCat(stored.key, ": not the key of an entry"));
    }
    for (; next_ < sequence; ++next_) {
      Find(absl::StrCat("entry ", next_, " is missing"));
      previous_.clear();
      if (report_.findings.size() >= kMaxFindings) next_ = sequence - 1;
    }
    const std::string digest = DigestHex(stored.value);
    const absl::StatusOr<AuditEntry> entry = DecodeEntry(stored.key, stored.value);
    if (!entry.ok()) {
      Find(absl::StrCat("entry ", sequence, " was changed: ", entry.status().message()));
    } else {
      CheckLink(*entry);
      Replay(*entry);
    }
    if (digest == expected_) expected_seen_ = true;
    previous_ = digest;
    next_ = sequence + 1;
  }

  // Of two entries that do not fit, the earlier one was changed, or else this one
  // was put in its place.
  void CheckLink(const AuditEntry& entry) {
    if (previous_.empty() || entry.previous == previous_) return;
    Find(absl::StrCat("entry ", entry.sequence - 1, " is not the one that entry ", entry.sequence,
                      " follows: one of them was changed"));
  }

  void Replay(const AuditEntry& entry) {
    for (const auto& [key, digest] : entry.writes) Record(key, {digest, entry.sequence});
    for (const std::string& key : entry.deletes) {
      Record(key, {"", entry.sequence});
      // These are as many as certificates have ever been issued. One that is there all the same
      // was inserted.
      if (entry.event == kRecordsRemoved) written_.erase(key);
    }
  }

  void Record(const std::string& key, Written written) {
    if (const auto difference = differences_.find(key);
        difference != differences_.end() && difference->second.digest == written.digest) {
      differences_.erase(difference);
    }
    if (!comparing_) written_[key] = std::move(written);
  }

  absl::Status CompareRecords(const std::string& prefix) {
    comparing_ = true;
    std::string after;
    for (;;) {
      ASSIGN_OR_RETURN(const std::vector<Stored> page, store_.List(prefix, after, kPage));
      for (const Stored& stored : page) Compare(stored);
      report_.records += static_cast<std::int64_t>(page.size());
      if (page.size() < kPage) return absl::OkStatus();
      after = page.back().key;
    }
  }

  void Compare(const Stored& stored) {
    std::string digest = DigestHex(stored.value);
    const auto written = written_.find(stored.key);
    if (written == written_.end()) {
      differences_[stored.key] = {std::move(digest), {}};
    } else {
      if (written->second.digest != digest) {
        differences_[stored.key] = {std::move(digest), written->second};
      }
      written_.erase(written);
    }
  }

  // What the log has written and nobody has found.
  void FindMissing() {
    for (auto& [key, written] : written_) {
      if (!written.digest.empty()) differences_[key] = {"", std::move(written)};
    }
  }

  void Conclude() {
    for (const auto& [key, difference] : differences_) {
      const std::int64_t sequence = difference.written.sequence;
      if (sequence == 0) {
        Find(absl::StrCat(key, " was inserted: no entry of the log has written it"));
      } else if (difference.digest.empty()) {
        Find(absl::StrCat(key, " is missing: entry ", sequence, " has written it"));
      } else if (difference.written.digest.empty()) {
        Find(absl::StrCat(key, " is there: entry ", sequence, " has deleted it"));
      } else {
        Find(absl::StrCat(key, " was changed: it is not what entry ", sequence, " has written"));
      }
    }
  }

  // Entries beyond the head: somebody has put the head back, or added them.
  absl::Status CheckBeyond() {
    if (head_is_bad_) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<Stored> beyond,
                     store_.List(kAudit, AuditKey(report_.head.sequence), 1));
    if (beyond.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Reader::Head head, Reader(store_).FindHead());
    if (beyond.front().key <= AuditKey(head.head.sequence)) return absl::OkStatus();
    Find(absl::StrCat(beyond.front().key, " is beyond the head, which is entry ",
                      head.head.sequence, ": entries were added, or the head was put back"));
    return absl::OkStatus();
  }

  Store& store_;
  const std::string expected_;
  bool expected_seen_, head_is_bad_ = false, comparing_ = false;
  std::int64_t next_ = 1;                      // the entry that the walk comes to
  std::string previous_ = FirstHead().digest;  // "": unknown
  absl::flat_hash_map<std::string, Written> written_;
  absl::flat_hash_map<std::string, Difference> differences_;
  VerifyReport report_;
};

}  // namespace

absl::StatusOr<VerifyReport> Verify(Store& store, const std::string& expected) {
  return Verifier(store, expected).Run();
}

}  // namespace tombolo::ca
