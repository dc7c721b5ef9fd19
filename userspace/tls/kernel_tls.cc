// SPDX-License-Identifier: Apache-2.0
#include "tls/kernel_tls.h"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <endian.h>
#include <openssl/crypto.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "tls/record_stream.h"
#include "tls/status_code.h"

namespace tombolo::tls::kernel {
namespace {

constexpr int kSolTls = 282;  // SOL_TLS of linux/socket.h, which glibc does not have

// The kernel's description of a direction: one struct per cipher, all of the same
// fields in other sizes.
union CryptoInfo {
  tls_crypto_info info;
  tls12_crypto_info_aes_gcm_128 aes_gcm_128;
  tls12_crypto_info_aes_gcm_256 aes_gcm_256;
  tls12_crypto_info_chacha20_poly1305 chacha20_poly1305;
};

int Option(Direction direction) { return direction == Direction::kSend ? TLS_TX : TLS_RX; }

// Calls `use(info, cipher type)` on the member of `crypto` that `suite` uses.
template <typename Use>
auto WithInfo(CryptoInfo& crypto, Suite suite, Use use) {
  switch (suite) {
    case Suite::kAes256GcmSha384:
      return use(crypto.aes_gcm_256, TLS_CIPHER_AES_GCM_256);
    case Suite::kChaCha20Poly1305Sha256:
      return use(crypto.chacha20_poly1305, TLS_CIPHER_CHACHA20_POLY1305);
    case Suite::kAes128GcmSha256:
      break;
  }
  return use(crypto.aes_gcm_128, TLS_CIPHER_AES_GCM_128);
}

// The 12 bytes of the IV are salt and IV to the kernel: 4 and 8 for AES-GCM, 0 and
// 12 for ChaCha20-Poly1305. Returns the struct's size.
socklen_t Fill(CryptoInfo& crypto, const TrafficKey& key, std::uint64_t sequence) {
  return WithInfo(crypto, key.suite, [&](auto& info, std::uint16_t cipher) -> socklen_t {
    info.info.version = TLS_1_3_VERSION;
    info.info.cipher_type = cipher;
    const std::size_t salt = key.iv.size() - sizeof(info.iv);
    std::memcpy(info.salt, key.iv.data(), salt);
    std::memcpy(info.iv, key.iv.data() + salt, sizeof(info.iv));
    std::memcpy(info.key, key.key.data(), sizeof(info.key));
    const std::uint64_t sequence_be = htobe64(sequence);
    std::memcpy(info.rec_seq, &sequence_be, sizeof(info.rec_seq));
    return sizeof(info);
  });
}

absl::Status KernelError(int error, absl::string_view what) {
  return WithCode(absl::StatusCode::kFailedPrecondition, ErrnoStatus(error, what));
}

}  // namespace

absl::Status AttachUlp(int fd) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0) return absl::OkStatus();
  const int error = errno;
  return KernelError(error, error == ENOENT ? "kernel TLS (is the module 'tls' there?)"
                                            : "put the tls ULP on a socket");
}

absl::Status InstallKey(int fd, Direction direction, const TrafficKey& key,
                        std::uint64_t sequence) {
  CryptoInfo crypto{};
  const absl::Cleanup wipe = [&] { OPENSSL_cleanse(&crypto, sizeof(crypto)); };
  const socklen_t size = Fill(crypto, key, sequence);
  if (setsockopt(fd, kSolTls, Option(direction), &crypto, size) == 0) return absl::OkStatus();
  return KernelError(errno, direction == Direction::kSend ? "install TLS_TX" : "install TLS_RX");
}

absl::Status ExpectNoPadding(int fd) {
  const int yes = 1;
  if (setsockopt(fd, kSolTls, TLS_RX_EXPECT_NO_PAD, &yes, sizeof(yes)) == 0) {
    return absl::OkStatus();
  }
  return KernelError(errno, "set TLS_RX_EXPECT_NO_PAD");
}

absl::StatusOr<std::uint64_t> Sequence(int fd, Direction direction, Suite suite) {
  CryptoInfo crypto{};
  const absl::Cleanup wipe = [&] { OPENSSL_cleanse(&crypto, sizeof(crypto)); };
  socklen_t size = WithInfo(crypto, suite, [](auto& info, std::uint16_t) {
    return static_cast<socklen_t>(sizeof(info));
  });
  if (getsockopt(fd, kSolTls, Option(direction), &crypto, &size) != 0) {
    return KernelError(errno, "read the record sequence number");
  }
  std::uint64_t sequence_be = 0;
  WithInfo(crypto, suite, [&](auto& info, std::uint16_t) {
    std::memcpy(&sequence_be, info.rec_seq, sizeof(sequence_be));
  });
  return be64toh(sequence_be);
}

ssize_t SendRecord(int fd, std::uint8_t type, absl::Span<const std::uint8_t> payload) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(type))] = {};
  iovec part{const_cast<std::uint8_t*>(payload.data()), payload.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = kSolTls;
  header->cmsg_type = TLS_SET_RECORD_TYPE;
  header->cmsg_len = CMSG_LEN(sizeof(type));
  std::memcpy(CMSG_DATA(header), &type, sizeof(type));
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Arrived Receive(int fd, absl::Span<std::uint8_t> buffer) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint8_t))] = {};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  Arrived arrived{.size = recvmsg(fd, &message, MSG_DONTWAIT)};
  if (arrived.size < 0) return arrived;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == kSolTls &&
      header->cmsg_type == TLS_GET_RECORD_TYPE) {
    std::memcpy(&arrived.type, CMSG_DATA(header), sizeof(arrived.type));
  } else if (arrived.size > 0) {
    arrived.type = kApplicationData;
  }
  return arrived;
}

}  // namespace tombolo::tls::kernel
