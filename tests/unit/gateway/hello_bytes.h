// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

// ClientHellos made by hand, good and bad ones.
namespace tombolo::gateway {

// `size` bytes, the highest first.
inline std::string Number(std::size_t size, std::size_t value) {
  std::string bytes(size, '\0');
  for (std::size_t i = size; i > 0; --i, value >>= 8) bytes[i - 1] = static_cast<char>(value);
  return bytes;
}
inline std::string Vector(std::size_t length_size, absl::string_view content) {
  return Number(length_size, content.size()) + std::string(content);
}
inline std::string Extension(std::size_t type, absl::string_view content) {
  return Number(2, type) + Vector(2, content);
}
inline std::string ServerNames(absl::string_view list) { return Extension(0, Vector(2, list)); }
inline std::string HostName(absl::string_view name) { return Number(1, 0) + Vector(2, name); }
inline std::string Alpn(absl::string_view protocol) {
  return Extension(16, Vector(2, Vector(1, "h2") + Vector(1, protocol)));
}
inline std::string Versions(std::size_t version) {
  return Extension(43, Vector(1, Number(2, 0x0303) + Number(2, version)));
}

// A good one but for what is changed.
struct Hello {
  std::string server_name = ServerNames(HostName("a.west.tombolo.internal"));
  std::string alpn = Alpn("tombolo/1");
  std::string versions = Versions(0x0304);
  std::string more = Extension(51, std::string(36, 'k'));
  std::string session_id = std::string(32, 's');
  std::string suites = Number(2, 0x1301) + Number(2, 0x1302);
  std::string compressions = std::string(1, '\0');

  std::string Body() const {
    return Number(2, 0x0303) + std::string(32, 'r') + Vector(1, session_id) + Vector(2, suites) +
           Vector(1, compressions) + Vector(2, server_name + alpn + versions + more);
  }
  std::string Message() const { return Number(1, 1) + Vector(3, Body()); }
  std::string Record() const { return Records(Message(), 1 << 14); }

  // `message` in records of at most so many bytes each.
  static std::string Records(absl::string_view message, std::size_t size) {
    std::string records;
    for (; !message.empty(); message.remove_prefix(std::min(size, message.size()))) {
      records += Number(1, 22) + Number(2, 0x0301) + Vector(2, message.substr(0, size));
    }
    return records;
  }
};

}  // namespace tombolo::gateway
