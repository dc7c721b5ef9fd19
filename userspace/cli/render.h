// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tombolo::cli {

struct Noun {
  const char* name;
  const char* help;
};

// What can be asked for, in the order of the help text.
const std::vector<Noun>& Nouns();

// The agent's answer to /v1/<noun> (docs/admin-api.md) for people. Fields that
// are missing become "-", so that a newer or older agent can still be read.
// InvalidArgument when `answer` is not a JSON object.
absl::StatusOr<std::string> Render(absl::string_view noun, absl::string_view answer,
                                   absl::Time now);

// The same of the answer to /v1/explain.
absl::StatusOr<std::string> RenderExplanation(absl::string_view answer);

}  // namespace tombolo::cli
