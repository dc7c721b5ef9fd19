// SPDX-License-Identifier: Apache-2.0
#include "source/vip_assignment.h"

#include <algorithm>
#include <optional>

#include "absl/strings/string_view.h"
#include "source/config_values.h"

namespace tombolo::source {
namespace {

using Addresses = absl::flat_hash_set<net::IpAddress>;

constexpr int kBits = 128;
constexpr int kMostHostBits = 62;  // of which a 64-bit number is made

// FNV-1a: unlike absl::Hash the same in every process and version.
std::uint64_t Fingerprint(const VipAssignment::Name& name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](absl::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  add(name.first);
  add("/");
  add(name.second);
  return hash ^ (hash >> 32);
}

net::IpAddress At(const net::Prefix& range, std::uint64_t offset) {
  std::uint8_t bytes[16];
  std::copy(range.ip.bytes().begin(), range.ip.bytes().end(), bytes);
  for (int i = 15; i >= 8; --i, offset >>= 8) {
    bytes[i] = static_cast<std::uint8_t>(bytes[i] | (offset & 0xff));
  }
  return net::IpAddress::FromBytes(bytes);
}

// A range's addresses, as numbers from `first` on. Of larger ones, network and broadcast
// addresses are no VIPs: some resolvers and libraries refuse them.
struct Space {
  explicit Space(const net::Prefix& prefix) : range(prefix) {
    const int bits = std::min(kBits - prefix.length, kMostHostBits);
    const std::uint64_t all = std::uint64_t{1} << bits;
    first = bits >= 2 ? 1 : 0;
    size = bits >= 2 ? all - 2 : all;
  }

  std::optional<net::IpAddress> Take(const VipAssignment::Name& name, Addresses& used) {
    if (full) return std::nullopt;
    const std::uint64_t start = Fingerprint(name) % size;
    for (std::uint64_t i = 0; i < size; ++i) {
      const net::IpAddress address = At(range, first + (start + i) % size);
      if (!used.contains(address) && ParseVip(address.ToString()).ok()) {
        used.insert(address);
        return address;
      }
    }
    full = true;  // for all that come after, too: no second search through all of it
    return std::nullopt;
  }

  net::Prefix range;
  std::uint64_t first = 0, size = 0;
  bool full = false;
};

bool HasFamily(const VipsRecord& record, bool v4) {
  return std::ranges::any_of(record.vips,
                             [&](const net::IpAddress& vip) { return vip.is_v4() == v4; });
}

}  // namespace

VipAssignment::Result VipAssignment::Assign(const Records& assigned, const std::set<Name>& imported,
                                            std::int64_t now) const {
  Result result;
  Addresses used = taken;
  for (const auto& [name, record] : assigned) {
    VipsRecord kept;
    if (!imported.contains(name)) {
      kept.unused_since = record.unused_since != 0 ? record.unused_since : now;
      if (now - kept.unused_since > kVipKept) continue;
    }
    for (const net::IpAddress& vip : record.vips) {
      const auto holds = [&](const net::Prefix& range) { return range.Contains(vip); };
      if (std::ranges::any_of(ranges, holds) && used.insert(vip).second) kept.vips.push_back(vip);
    }
    if (!kept.vips.empty()) result.records.emplace(name, std::move(kept));
  }
  std::vector<Space> spaces(ranges.begin(), ranges.end());
  for (const Name& name : imported) {
    VipsRecord& record = result.records[name];
    for (const bool v4 : {true, false}) {
      bool wanted = false;
      for (Space& space : spaces) {
        if (space.range.ip.is_v4() != v4 || HasFamily(record, v4)) continue;
        wanted = true;
        if (const auto vip = space.Take(name, used)) record.vips.push_back(*vip);
      }
      if (wanted && !HasFamily(record, v4)) result.no_room.push_back(name);
    }
    if (record.vips.empty()) result.records.erase(name);
  }
  return result;
}

}  // namespace tombolo::source
