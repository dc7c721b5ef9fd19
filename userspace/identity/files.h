// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Small files that hold certificates, keys and tokens. Errors name the file.
namespace tombolo::identity {

// NotFound when it is not there; InvalidArgument when it is larger than `max_size`.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_size);

// A token: the file without the white space around it. FailedPrecondition when nothing is left, or
// when it could not be in an HTTP header.
absl::StatusOr<std::string> ReadToken(const std::string& path);

// Makes or replaces a file with the mode 0600: it is there as a whole or not at all, also after a
// loss of power. Makes its directory (0700) when that is not there.
absl::Status ReplaceFile(const std::string& path, absl::string_view content);

// It need not be there.
absl::Status RemoveFile(const std::string& path);

}  // namespace tombolo::identity
