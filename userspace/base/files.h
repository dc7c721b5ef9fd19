// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Small files of certificates, keys, tokens and state, which must survive a crash whole or not at
// all. Calls block. Errors name the path.
namespace tombolo {

inline constexpr std::size_t kMaxFileSize = 1 << 20;

// NotFound when it is not there; InvalidArgument when it is larger than `max_size`.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_size = kMaxFileSize);

// A token: the file without the white space around it. FailedPrecondition when nothing is left, or
// when it could not be in an HTTP header.
absl::StatusOr<std::string> ReadToken(const std::string& path);

// Makes the directory and those above it; the last one with `mode` if it is new.
absl::Status MakeDirectory(const std::string& path, mode_t mode);

// AlreadyExists when there is anything at `path`, a dangling link included.
absl::Status CreateFile(const std::string& path, absl::string_view content, mode_t mode);

// Readers see the old content or the new, never a part, also after a loss of power. It is written
// as `path`.XXXXXX (of letters and digits) first, so of several writers at a time the last one's
// stays, and no other file is touched. FailedPrecondition when `path` is no regular file.
absl::Status ReplaceFile(const std::string& path, absl::string_view content, mode_t mode);

// For a program's own state, in a directory (0700) that is made when it is not there: the same with
// the mode 0600, but one writer of a file at a time. It is written as `path`.new first.
absl::Status ReplacePrivateFile(const std::string& path, absl::string_view content);

// It need not be there.
absl::Status RemoveFile(const std::string& path);

// PermissionDenied when group or others may read or write `path`.
absl::Status CheckPrivate(const std::string& path);

}  // namespace tombolo
