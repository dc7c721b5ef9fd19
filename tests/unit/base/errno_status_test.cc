// SPDX-License-Identifier: Apache-2.0
#include "base/errno_status.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace tombolo {
namespace {

TEST(ErrnoStatusTest, SaysWhatFailedAndWhy) {
  const absl::Status status = ErrnoStatus(ENOENT, "open '/nowhere'");
  EXPECT_EQ(status.message(), "open '/nowhere': No such file or directory");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoOf(status), ENOENT);
}

TEST(ErrnoStatusTest, CodeSaysWhatToDo) {
  EXPECT_EQ(ErrnoStatus(ECONNREFUSED, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(EHOSTUNREACH, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(EAGAIN, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(ETIMEDOUT, "x").code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrnoStatus(EPERM, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
}

TEST(ErrnoStatusTest, AnUnknownErrnoIsKept) {
  const absl::Status status = ErrnoStatus(9999, "x");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ErrnoOf(status), 9999);
}

TEST(AnnotateTest, KeepsCodeAndErrno) {
  const absl::Status status = Annotate(ErrnoStatus(EPIPE, "send"), "tunnel 7");
  EXPECT_EQ(status.message(), "tunnel 7: send: Broken pipe");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoOf(status), EPIPE);
}

TEST(AnnotateTest, LeavesOkAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "tunnel 7").ok());
  EXPECT_EQ(ErrnoOf(absl::OkStatus()), 0);
  EXPECT_EQ(ErrnoOf(absl::InternalError("no errno")), 0);
}

}  // namespace
}  // namespace tombolo
