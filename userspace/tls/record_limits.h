// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/status.h"

// What both record layers allow, and what they say when it is passed.
namespace tombolo::tls {

inline constexpr std::size_t kMaxControl = 4096;             // one message
inline constexpr std::size_t kMaxQueuedControl = 64 * 1024;  // behind a batch
// A record up to this size is copied out rather than keep a 128 KiB buffer.
inline constexpr std::size_t kSmallRecord = 4096;

absl::Status CheckControlSize(std::size_t size);
absl::Status ControlQueueFull();
absl::Status SendBudgetUsedUp();

}  // namespace tombolo::tls
