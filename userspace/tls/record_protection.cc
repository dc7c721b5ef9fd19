// SPDX-License-Identifier: Apache-2.0
#include "tls/record_protection.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/openssl.h"
#include "tls/record_stream.h"

namespace tombolo::tls {
namespace {

constexpr absl::string_view kAlertPayload = "tombolo/tls-alert";

const EVP_CIPHER* CipherOf(Suite suite) {
  switch (suite) {
    case Suite::kAes128GcmSha256:
      return EVP_aes_128_gcm();
    case Suite::kAes256GcmSha384:
      return EVP_aes_256_gcm();
    case Suite::kChaCha20Poly1305Sha256:
      return EVP_chacha20_poly1305();
  }
  return nullptr;
}

absl::Status CipherError(absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInternal, what);
}

absl::Status PeerError(std::uint8_t alert, absl::string_view what) {
  return WithAlert(absl::InvalidArgumentError(what), alert);
}

absl::Status BudgetError(absl::string_view what) {
  return absl::ResourceExhaustedError(
      absl::StrCat("2^24 records have been ", what, " with this key"));
}

// The sequence number at which records of `type` end.
std::uint64_t LimitOf(std::uint8_t type) {
  if (type == kApplicationData) return kRecordBudget;
  return kRecordBudget + kControlReserve + (type == kAlert ? kAlertReserve : 0);
}

}  // namespace

std::uint8_t AlertOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kAlertPayload);
  if (!payload || payload->empty()) return 0;
  return static_cast<std::uint8_t>((*payload)[0]);
}

absl::Status WithAlert(absl::Status status, std::uint8_t alert) {
  status.SetPayload(kAlertPayload, absl::Cord(std::string(1, static_cast<char>(alert))));
  return status;
}

absl::StatusOr<std::size_t> RecordSize(absl::Span<const std::uint8_t> header) {
  // The version field "MUST be ignored for all purposes" (section 5.1).
  if (header[0] != kApplicationData) {
    return PeerError(kUnexpectedMessage,
                     absl::StrCat("unprotected record of type ", int{header[0]}));
  }
  const std::size_t size = std::size_t{header[3]} << 8 | header[4];
  if (size > kMaxCiphertext) {
    return PeerError(kRecordOverflow, absl::StrCat("record of ", size, " bytes"));
  }
  return kHeaderSize + size;
}

void RecordCipher::ContextFreer::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

absl::StatusOr<RecordCipher::Context> RecordCipher::NewContext(const TrafficKey& key,
                                                               Direction direction) {
  Context context(EVP_CIPHER_CTX_new());
  // Every suite has the 12-byte IV that is OpenSSL's default for it.
  if (context == nullptr ||
      EVP_CipherInit_ex(context.get(), CipherOf(key.suite), nullptr, key.key.data(), key.iv.data(),
                        static_cast<int>(direction)) != 1) {
    return CipherError("set up record cipher");
  }
  return context;
}

std::array<std::uint8_t, TrafficKey::kIvSize> RecordCipher::Nonce() const {
  // Section 5.3: the sequence number, big-endian and padded on the left, XOR
  // the IV.
  auto nonce = iv_;
  for (std::size_t i = 0; i < sizeof(sequence_); ++i) {
    nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(sequence_ >> (8 * i));
  }
  return nonce;
}

absl::StatusOr<RecordSealer> RecordSealer::Create(const TrafficKey& key, std::uint64_t sequence) {
  ASSIGN_OR_RETURN(Context context, NewContext(key, Direction::kSeal));
  return RecordSealer(std::move(context), key, sequence);
}

absl::StatusOr<std::size_t> RecordSealer::Seal(std::uint8_t type, absl::Span<std::uint8_t> slot,
                                               std::size_t size) {
  if (sequence_ >= LimitOf(type)) return BudgetError("sent");
  if (size > kMaxPlaintext || size + kRecordOverhead > slot.size()) {
    return absl::InternalError(
        absl::StrCat("record of ", size, " bytes in a slot of ", slot.size()));
  }
  const std::size_t inner = size + 1;
  const std::size_t length = inner + kTagSize;
  const std::uint8_t header[kHeaderSize] = {kApplicationData, 3, 3,
                                            static_cast<std::uint8_t>(length >> 8),
                                            static_cast<std::uint8_t>(length)};
  std::copy(std::begin(header), std::end(header), slot.begin());
  slot[kHeaderSize + size] = type;
  std::uint8_t* body = slot.data() + kHeaderSize;
  int out = 0;
  EVP_CIPHER_CTX* context = context_.get();
  if (EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, Nonce().data()) != 1 ||
      EVP_EncryptUpdate(context, nullptr, &out, slot.data(), kHeaderSize) != 1 ||
      EVP_EncryptUpdate(context, body, &out, body, static_cast<int>(inner)) != 1 ||
      EVP_EncryptFinal_ex(context, body + inner, &out) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagSize, body + inner) != 1) {
    return CipherError("seal record");
  }
  ++sequence_;
  return kHeaderSize + length;
}

absl::StatusOr<RecordOpener> RecordOpener::Create(const TrafficKey& key, std::uint64_t sequence) {
  ASSIGN_OR_RETURN(Context context, NewContext(key, Direction::kOpen));
  return RecordOpener(std::move(context), key, sequence);
}

absl::StatusOr<RecordOpener::Opened> RecordOpener::Open(absl::Span<std::uint8_t> record) {
  if (sequence_ >= LimitOf(kAlert)) return BudgetError("received");
  if (record.size() < kHeaderSize + kTagSize + 1) {
    return PeerError(kBadRecordMac, "record too short for its tag");
  }
  const std::size_t inner = record.size() - kHeaderSize - kTagSize;
  std::uint8_t* body = record.data() + kHeaderSize;
  int out = 0;
  EVP_CIPHER_CTX* context = context_.get();
  if (EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, Nonce().data()) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagSize, body + inner) != 1 ||
      EVP_DecryptUpdate(context, nullptr, &out, record.data(), kHeaderSize) != 1 ||
      EVP_DecryptUpdate(context, body, &out, body, static_cast<int>(inner)) != 1) {
    return CipherError("open record");
  }
  if (EVP_DecryptFinal_ex(context, body + inner, &out) != 1) {
    return PeerError(kBadRecordMac, "record does not authenticate");
  }
  ++sequence_;
  std::size_t end = inner;
  while (end > 0 && body[end - 1] == 0) --end;  // padding, section 5.4
  if (end == 0) return PeerError(kUnexpectedMessage, "record without a content type");
  if (end - 1 > kMaxPlaintext) {
    return PeerError(kRecordOverflow, absl::StrCat("plaintext of ", end - 1, " bytes"));
  }
  return Opened{.type = body[end - 1], .payload = {body, end - 1}};
}

}  // namespace tombolo::tls
