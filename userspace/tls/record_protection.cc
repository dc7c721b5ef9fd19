// SPDX-License-Identifier: Apache-2.0
#include "tls/record_protection.h"

#include <array>
#include <memory>
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

struct ContextFreer {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

// One thread's contexts: a clock that gives away what was not used since it came by last.
class Contexts {
 public:
  // Of both directions of this many busy connections nothing is ever made again.
  static constexpr std::size_t kPlaces = 512;

  struct Place {
    std::unique_ptr<EVP_CIPHER_CTX, ContextFreer> context;
    std::uint64_t ticket = 0;  // whose it is; 0: nobody's
    bool used = false;
  };

  static Contexts& OfThread() {
    thread_local Contexts contexts;
    return contexts;
  }

  // The owner of `ticket`'s context, or null.
  EVP_CIPHER_CTX* Find(std::uint32_t place, std::uint64_t ticket) {
    if (ticket == 0 || places_[place].ticket != ticket) return nullptr;
    places_[place].used = true;
    return places_[place].context.get();
  }
  // A place for a new owner. Its context may be null, or set up for somebody else.
  std::uint32_t Take() {
    while (std::exchange(places_[hand_].used, false)) hand_ = (hand_ + 1) % kPlaces;
    const std::uint32_t taken = hand_;
    hand_ = (hand_ + 1) % kPlaces;
    places_[taken].used = true;
    places_[taken].ticket = ++last_ticket_;
    return taken;
  }
  Place& at(std::uint32_t place) { return places_[place]; }

 private:
  std::array<Place, kPlaces> places_;
  std::uint32_t hand_ = 0;
  std::uint64_t last_ticket_ = 0;
};

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

RecordCipher::RecordCipher(RecordCipher&& other) noexcept
    : key_(other.key_),
      direction_(other.direction_),
      sequence_(other.sequence_),
      place_(other.place_),
      ticket_(std::exchange(other.ticket_, 0)) {}

RecordCipher& RecordCipher::operator=(RecordCipher&& other) noexcept {
  if (this != &other) {
    Forget();
    key_ = other.key_;
    direction_ = other.direction_;
    sequence_ = other.sequence_;
    place_ = other.place_;
    ticket_ = std::exchange(other.ticket_, 0);
  }
  return *this;
}

// The key schedule is wiped with its connection.
void RecordCipher::Forget() {
  Contexts& contexts = Contexts::OfThread();
  if (contexts.Find(place_, ticket_) == nullptr) return;
  contexts.at(place_) = {};
  ticket_ = 0;
}

EVP_CIPHER_CTX* RecordCipher::Context() {
  Contexts& contexts = Contexts::OfThread();
  const auto nonce = Nonce();
  // Every suite has the 12-byte IV that is OpenSSL's default for it.
  if (EVP_CIPHER_CTX* const context = contexts.Find(place_, ticket_); context != nullptr) {
    const int done = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce.data(), -1);
    return done == 1 ? context : nullptr;
  }
  place_ = contexts.Take();
  Contexts::Place& place = contexts.at(place_);
  ticket_ = place.ticket;
  if (place.context == nullptr) place.context.reset(EVP_CIPHER_CTX_new());
  if (place.context != nullptr &&
      EVP_CipherInit_ex(place.context.get(), CipherOf(key_.suite), nullptr, key_.key.data(),
                        nonce.data(), static_cast<int>(direction_)) == 1) {
    return place.context.get();
  }
  Forget();
  return nullptr;
}

std::array<std::uint8_t, TrafficKey::kIvSize> RecordCipher::Nonce() const {
  // Section 5.3: the sequence number, big-endian and padded on the left, XOR
  // the IV.
  auto nonce = key_.iv;
  for (std::size_t i = 0; i < sizeof(sequence_); ++i) {
    nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(sequence_ >> (8 * i));
  }
  return nonce;
}

absl::StatusOr<RecordSealer> RecordSealer::Create(const TrafficKey& key, std::uint64_t sequence) {
  RecordSealer sealer(key, Direction::kSeal, sequence);
  if (sealer.Context() == nullptr) return CipherError("set up record cipher");
  return sealer;
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
  EVP_CIPHER_CTX* const context = Context();
  if (context == nullptr ||
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
  RecordOpener opener(key, Direction::kOpen, sequence);
  if (opener.Context() == nullptr) return CipherError("set up record cipher");
  return opener;
}

absl::StatusOr<RecordOpener::Opened> RecordOpener::Open(absl::Span<std::uint8_t> record) {
  if (sequence_ >= LimitOf(kAlert)) return BudgetError("received");
  if (record.size() < kHeaderSize + kTagSize + 1) {
    return PeerError(kBadRecordMac, "record too short for its tag");
  }
  const std::size_t inner = record.size() - kHeaderSize - kTagSize;
  std::uint8_t* body = record.data() + kHeaderSize;
  int out = 0;
  EVP_CIPHER_CTX* const context = Context();
  if (context == nullptr ||
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
