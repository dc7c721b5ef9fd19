// SPDX-License-Identifier: Apache-2.0
// Records from a peer: what arrives unprotected, and what a hostile peer that
// holds the keys may put inside a record.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tls/record_protection.h"
#include "tls/record_stream.h"

namespace tombolo::tls {
namespace {

using Bytes = std::vector<std::uint8_t>;

const TrafficKey& Key() {
  static const TrafficKey key = *DeriveTrafficKey(Suite::kAes128GcmSha256, Secret(Bytes(32, 1)));
  return key;
}

// Bytes as they come: whole records by their own headers.
void OpenRaw(absl::Span<const std::uint8_t> input) {
  Bytes bytes(input.begin(), input.end());
  RecordOpener opener = *RecordOpener::Create(Key());
  absl::Span<std::uint8_t> left = absl::MakeSpan(bytes);
  while (left.size() >= kHeaderSize) {
    const absl::StatusOr<std::size_t> size = RecordSize(left.first(kHeaderSize));
    if (!size.ok() || *size > left.size()) return;
    if (*size > kMaxRecord) std::abort();
    if (!opener.Open(left.first(*size)).ok()) return;
    left.remove_prefix(*size);
  }
}

// The input as an inner plaintext that authenticates.
void OpenSealed(absl::Span<const std::uint8_t> input) {
  if (input.empty() || input.size() > kMaxPlaintext) return;
  const std::uint8_t type = input.back();
  input.remove_suffix(1);
  Bytes slot(input.size() + kRecordOverhead);
  if (!input.empty()) std::memcpy(slot.data() + kHeaderSize, input.data(), input.size());
  RecordSealer sealer = *RecordSealer::Create(Key());
  if (!sealer.Seal(type, absl::MakeSpan(slot), input.size()).ok()) std::abort();
  const auto opened = RecordOpener::Create(Key())->Open(absl::MakeSpan(slot));
  if (type != 0) {
    if (!opened.ok() || opened->type != type || opened->payload != input) std::abort();
    return;
  }
  // A zero type is padding: the last byte that is not zero is the type instead.
  while (!input.empty() && input.back() == 0) input.remove_suffix(1);
  if (opened.ok() != !input.empty()) std::abort();
  if (opened.ok() && opened->type != input.back()) std::abort();
}

}  // namespace
}  // namespace tombolo::tls

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tombolo::tls::OpenRaw({data, size});
  tombolo::tls::OpenSealed({data, size});
  return 0;
}
