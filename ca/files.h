// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Small files that must survive a crash whole or not at all. Errors name the path.
namespace tombolo::ca {

// Makes the directory and those above it; the last one with `mode` if it is new.
absl::Status MakeDirectory(const std::string& path, mode_t mode);

// AlreadyExists when there is anything at `path`, a dangling link included.
absl::Status CreateFile(const std::string& path, absl::string_view content, mode_t mode);

// Readers see the old content or the new, never a part (temporary file, rename).
absl::Status ReplaceFile(const std::string& path, absl::string_view content, mode_t mode);

// At most 1 MiB.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// PermissionDenied when group or others may read or write `path`.
absl::Status CheckPrivate(const std::string& path);

}  // namespace tombolo::ca
