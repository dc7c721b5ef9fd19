// SPDX-License-Identifier: Apache-2.0
#include "agent/reserve_descriptor.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/errno_status.h"

namespace tombolo::agent {

bool OutOfDescriptors(const absl::Status& status) {
  const int error = ErrnoOf(status);
  return error == EMFILE || error == ENFILE;
}

absl::Status ReserveNeeded() { return ErrnoStatus(EMFILE, "keep a descriptor in reserve"); }

bool ReserveDescriptor::KeepLocked() {
  if (!fd_.valid()) fd_ = Fd(eventfd(0, EFD_CLOEXEC));
  return fd_.valid();
}

bool ReserveDescriptor::Keep() {
  const std::lock_guard lock(mutex_);
  return KeepLocked();
}

absl::Status ReserveDescriptor::RefuseOne(int listener, absl::FunctionRef<void(Fd)> refuse) {
  const std::lock_guard lock(mutex_);
  fd_.Close();
  Fd client(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const int error = errno;
  const bool accepted = client.valid();
  if (accepted) refuse(std::move(client));
  (void)KeepLocked();
  return accepted ? absl::OkStatus() : ErrnoStatus(error, "accept");
}

}  // namespace tombolo::agent
