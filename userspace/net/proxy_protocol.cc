// SPDX-License-Identifier: Apache-2.0
#include "net/proxy_protocol.h"

namespace tombolo::net {
namespace {

constexpr absl::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr char kVersion2Proxy = 0x21;  // the command is PROXY: on behalf of somebody else
constexpr char kUnspecified = 0x00;    // neither a family nor a transport
constexpr char kTcp4 = 0x11;
constexpr char kTcp6 = 0x21;

void AppendBigEndian16(std::size_t value, std::string& out) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

// The last `size` bytes: an IPv4 address is at the end of its v4-mapped form.
void AppendIp(const IpAddress& ip, std::size_t size, std::string& out) {
  const auto& bytes = ip.bytes();
  out.append(bytes.end() - static_cast<std::ptrdiff_t>(size), bytes.end());
}

}  // namespace

std::string EncodeProxyV2(const ProxyHeader& header) {
  char family = kUnspecified;
  std::string rest;
  if (header.source) {
    const bool v4 = header.source->ip.is_v4() && header.destination.ip.is_v4();
    family = v4 ? kTcp4 : kTcp6;
    const std::size_t size = v4 ? 4 : 16;
    AppendIp(header.source->ip, size, rest);
    AppendIp(header.destination.ip, size, rest);
    AppendBigEndian16(header.source->port, rest);
    AppendBigEndian16(header.destination.port, rest);
  }
  if (!header.spiffe_id.empty()) {
    rest.push_back(static_cast<char>(kProxyTlvSpiffeId));
    AppendBigEndian16(header.spiffe_id.size(), rest);
    rest.append(header.spiffe_id.data(), header.spiffe_id.size());
  }
  std::string out(kSignature);
  out.push_back(kVersion2Proxy);
  out.push_back(family);
  AppendBigEndian16(rest.size(), out);
  return out + rest;
}

}  // namespace tombolo::net
