// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "abi/capture.h"
#include "net/address.h"

// Between our values and the kernel's.
namespace tombolo::datapath {

inline tb_address ToAbi(const net::IpAddress& ip) {
  tb_address out{};
  std::copy(ip.bytes().begin(), ip.bytes().end(), std::begin(out.bytes));
  return out;
}

inline net::IpAddress FromAbi(const tb_address& address) {
  return net::IpAddress::FromBytes(address.bytes);
}

inline tb_service_key ServiceKey(const net::SocketAddress& vip) {
  return {
      .address = ToAbi(vip.ip), .port = htons(vip.port), .protocol = IPPROTO_TCP, .reserved = 0};
}

inline net::SocketAddress VipOf(const tb_service_key& key) {
  return {.ip = FromAbi(key.address), .port = ntohs(key.port)};
}

inline tb_range_key RangeKey(const net::Prefix& prefix) {
  return {.prefix_length = prefix.length, .address = ToAbi(prefix.ip)};
}

inline net::Prefix PrefixOf(const tb_range_key& key) {
  return {.ip = FromAbi(key.address), .length = static_cast<std::uint8_t>(key.prefix_length)};
}

}  // namespace tombolo::datapath
