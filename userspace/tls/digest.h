// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tombolo::tls {

std::array<std::uint8_t, 32> Sha256(absl::string_view data);

// In lower case.
std::string Hex(absl::Span<const std::uint8_t> bytes);

// Fills with bytes of the system's cryptographic random generator.
std::array<std::uint8_t, 16> Random128();

}  // namespace tombolo::tls
