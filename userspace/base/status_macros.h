// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// RETURN_IF_ERROR(expr) in functions, CO_RETURN_IF_ERROR(expr) in coroutines:
// leave with the status if `expr` is not OK.
#define RETURN_IF_ERROR(expr) STATUS_MACROS_EXIT_(return, expr)
#define CO_RETURN_IF_ERROR(expr) STATUS_MACROS_EXIT_(co_return, expr)

// ASSIGN_OR_RETURN(auto x, F()): bind the value of a StatusOr or leave.
#define ASSIGN_OR_RETURN(lhs, expr) \
  STATUS_MACROS_ASSIGN_(return, STATUS_MACROS_NAME_(__LINE__), lhs, expr)
#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  STATUS_MACROS_ASSIGN_(co_return, STATUS_MACROS_NAME_(__LINE__), lhs, expr)

#define STATUS_MACROS_EXIT_(keyword, expr)              \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      keyword status_;                                  \
    }                                                   \
  } while (false)
// NOLINTBEGIN(bugprone-macro-parentheses): the arguments are declarations and keywords
#define STATUS_MACROS_ASSIGN_(keyword, tmp, lhs, expr) \
  auto tmp = (expr);                                   \
  if (!tmp.ok()) keyword std::move(tmp).status();      \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)
#define STATUS_MACROS_NAME_(line) STATUS_MACROS_NAME2_(line)
#define STATUS_MACROS_NAME2_(line) status_or_##line
