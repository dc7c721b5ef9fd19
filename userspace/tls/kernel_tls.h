// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tls/key_schedule.h"

// Kernel TLS as system calls (Documentation/networking/tls.rst, include/uapi/linux/tls.h).
// Nothing here waits: sockets are non-blocking. Internal to tls and to tests.
namespace tombolo::tls::kernel {

enum class Direction { kSend, kReceive };

// Puts the "tls" ULP on a connected socket; what is read and written stays as it is
// until a key is installed. FailedPrecondition where the kernel has no TLS.
absl::Status AttachUlp(int fd);

// From here on every byte of that direction is inside a record under `key`, whose
// next sequence number is `sequence`. A second call changes the key: FailedPrecondition
// on kernels before 6.14. After any error the socket must not be used again (fail
// closed): a socket that another program has put into a sockmap would go on in the clear.
absl::Status InstallKey(int fd, Direction direction, const TrafficKey& key,
                        std::uint64_t sequence = 0);

// Received records carry no padding, as a rule: the kernel opens them where they are read to.
// FailedPrecondition where it cannot.
absl::Status ExpectNoPadding(int fd);

// The sequence number of the direction's next record.
absl::StatusOr<std::uint64_t> Sequence(int fd, Direction direction, Suite suite);

// sendmsg(2) of one record of another type than application data, whole or not at
// all; returns and sets errno as that does.
ssize_t SendRecord(int fd, std::uint8_t type, absl::Span<const std::uint8_t> payload);

// recvmsg(2): application data of one or more records, or one record of another
// type. `buffer` must hold kMaxPlaintext, so that no record is cut in two.
struct Arrived {
  ssize_t size = 0;       // as recvmsg returns it, with errno
  std::uint8_t type = 0;  // 0: TCP has ended
};
Arrived Receive(int fd, absl::Span<std::uint8_t> buffer);

}  // namespace tombolo::tls::kernel
