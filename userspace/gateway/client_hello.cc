// SPDX-License-Identifier: Apache-2.0
#include "gateway/client_hello.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace tombolo::gateway {
namespace {

using Bytes = absl::Span<const std::uint8_t>;
using Verdict = std::optional<Refusal>;  // none: good so far

constexpr std::uint8_t kHandshakeRecord = 22;
constexpr std::uint8_t kMajorVersion = 3;  // of every TLS
constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMaxRecord = 1 << 14;
// That a ClientHello is in. Nobody sends it in more than two; each costs a look at all of them.
constexpr int kMaxRecords = 64;
constexpr std::uint8_t kClientHello = 1;
constexpr std::size_t kMessageHeader = 4;
constexpr std::size_t kRandom = 32;
constexpr std::size_t kMaxSessionId = 32;
constexpr std::uint32_t kServerName = 0, kAlpn = 16, kSupportedVersions = 43;  // extensions
constexpr std::uint32_t kHostName = 0;
constexpr std::uint32_t kTls13 = 0x0304;
constexpr absl::string_view kTunnel = "tombolo/1";
constexpr absl::string_view kLink = "tombolo-link/1";
constexpr std::size_t kMaxName = 255;

// Takes bytes from the front. After the first that is not there, everything is empty and zero.
class Reader {
 public:
  explicit Reader(Bytes bytes) : left_(bytes) {}

  bool ok() const { return ok_; }
  // Nothing is left, and nothing was missing.
  bool done() const { return ok_ && left_.empty(); }
  // There is more to take.
  bool more() const { return ok_ && !left_.empty(); }
  std::size_t size() const { return left_.size(); }

  Bytes Take(std::size_t size) {
    if (size > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const Bytes taken = left_.first(size);
    left_.remove_prefix(size);
    return taken;
  }
  std::uint32_t Number(std::size_t size) {
    std::uint32_t number = 0;
    for (const std::uint8_t byte : Take(size)) number = number << 8 | byte;
    return number;
  }
  // What has its length, of so many bytes, before it.
  Reader Vector(std::size_t length_size) {
    const std::uint32_t length = Number(length_size);
    Reader vector(Take(length));
    vector.ok_ = ok_;
    return vector;
  }
  absl::string_view Text() {
    const Bytes all = Take(left_.size());
    return {reinterpret_cast<const char*>(all.data()), all.size()};
  }

 private:
  Bytes left_;
  bool ok_ = true;
};

// The handshake message at the beginning of a stream, out of its records.
class Message {
 public:
  // Sets `needed` if there is not all of it yet.
  Verdict ReadFrom(Bytes stream, std::size_t& needed);
  Bytes body() const { return Bytes(bytes_).subspan(kMessageHeader); }

 private:
  Verdict CheckHeader(Bytes header) const;
  // As far as that is known.
  std::size_t Size() const {
    if (bytes_.size() < kMessageHeader) return kMessageHeader;
    return kMessageHeader + (std::size_t{bytes_[1]} << 16 | bytes_[2] << 8 | bytes_[3]);
  }

  std::vector<std::uint8_t> bytes_;
};

// Whatever there is of a record's header.
Verdict Message::CheckHeader(Bytes header) const {
  const bool handshake = (header.empty() || header[0] == kHandshakeRecord) &&
                         (header.size() < 2 || header[1] == kMajorVersion);
  if (!handshake) return bytes_.empty() ? Refusal::kNotTls : Refusal::kMalformed;
  if (header.size() < kRecordHeader) return std::nullopt;
  const std::size_t length = std::size_t{header[3]} << 8 | header[4];
  if (length == 0) return Refusal::kMalformed;  // RFC 8446, section 5.1
  if (length > kMaxRecord) return Refusal::kTooLarge;
  return std::nullopt;
}

Verdict Message::ReadFrom(Bytes stream, std::size_t& needed) {
  std::size_t offset = 0;
  for (int records = 0; records < kMaxRecords; ++records) {
    const Bytes header = stream.subspan(offset, std::min(kRecordHeader, stream.size() - offset));
    if (const Verdict bad = CheckHeader(header)) return bad;
    const std::size_t payload = offset + kRecordHeader;
    needed = payload;
    if (header.size() == kRecordHeader) {
      const std::size_t length = std::size_t{header[3]} << 8 | header[4];
      const Bytes here = stream.subspan(payload, std::min(length, stream.size() - payload));
      bytes_.insert(bytes_.end(), here.begin(), here.end());
      if (!bytes_.empty() && bytes_[0] != kClientHello) return Refusal::kMalformed;
      const std::size_t size = Size();
      if (bytes_.size() >= kMessageHeader && bytes_.size() >= size) {
        bytes_.resize(size);
        needed = 0;
        return std::nullopt;
      }
      // At least so many more bytes; too many to wait for are refused before they come.
      const std::size_t missing = size - bytes_.size();
      if (payload + here.size() + missing > kMaxClientHello) return Refusal::kTooLarge;
      if (here.size() == length) {
        offset = payload + length;
        continue;
      }
      needed = payload + here.size() + std::min(length - here.size(), missing);
    }
    if (needed > kMaxClientHello) return Refusal::kTooLarge;
    return std::nullopt;
  }
  return Refusal::kMalformed;
}

struct Extensions {
  std::optional<absl::string_view> server_name;
  bool tls13 = false;
  std::optional<tls::Protocol> protocol;
};

// RFC 6066, section 3: one name, of the only type there is.
bool ReadServerName(Reader data, Extensions& out) {
  Reader list = data.Vector(2);
  const std::uint32_t type = list.Number(1);
  Reader name = list.Vector(2);
  if (!data.done() || !list.done() || type != kHostName || out.server_name) return false;
  out.server_name = name.Text();
  return true;
}

// RFC 7301, section 3.1.
bool ReadProtocols(Reader data, Extensions& out) {
  Reader list = data.Vector(2);
  while (list.more()) {
    Reader entry = list.Vector(1);
    const absl::string_view name = entry.Text();
    if (out.protocol) continue;
    if (name == kTunnel) out.protocol = tls::Protocol::kTunnel;
    if (name == kLink) out.protocol = tls::Protocol::kLink;
  }
  return data.done() && list.done();
}

// RFC 8446, section 4.2.1.
bool ReadVersions(Reader data, Extensions& out) {
  Reader list = data.Vector(1);
  while (list.more()) {
    if (list.Number(2) == kTls13) out.tls13 = true;
  }
  return data.done() && list.done();
}

bool ReadExtensions(Reader list, Extensions& out) {
  while (list.more()) {
    const std::uint32_t type = list.Number(2);
    const Reader data = list.Vector(2);
    if (!list.ok()) return false;
    if (type == kServerName && !ReadServerName(data, out)) return false;
    if (type == kAlpn && !ReadProtocols(data, out)) return false;
    if (type == kSupportedVersions && !ReadVersions(data, out)) return false;
  }
  return list.done();
}

bool IsName(absl::string_view name) {
  const auto good = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), good);
}

Verdict ReadBody(Reader body, HelloView& view) {
  body.Take(2 + kRandom);  // legacy_version, random
  const std::size_t session_id = body.Vector(1).size();
  const std::size_t suites = body.Vector(2).size();
  const std::size_t compressions = body.Vector(1).size();
  if (!body.ok() || session_id > kMaxSessionId || suites < 2 || suites % 2 != 0 ||
      compressions == 0) {
    return Refusal::kMalformed;
  }
  if (body.done()) return Refusal::kNoTls13;  // before TLS 1.3 there could be no extensions
  const Reader list = body.Vector(2);
  Extensions extensions;
  if (!body.done() || !ReadExtensions(list, extensions)) return Refusal::kMalformed;
  if (!extensions.tls13) return Refusal::kNoTls13;
  if (!extensions.protocol) return Refusal::kNotTombolo;
  if (!extensions.server_name) return Refusal::kNoServerName;
  if (!IsName(*extensions.server_name)) return Refusal::kBadServerName;
  view.server_name = std::string(*extensions.server_name);
  view.protocol = *extensions.protocol;
  return std::nullopt;
}

}  // namespace

HelloView ReadClientHello(absl::Span<const std::uint8_t> stream) {
  HelloView view;
  Message message;
  view.refusal = message.ReadFrom(stream, view.needed);
  if (view.refusal) view.needed = 0;
  if (view.needed > 0 || view.refusal) return view;
  view.refusal = ReadBody(Reader(message.body()), view);
  return view;
}

}  // namespace tombolo::gateway
