// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

#include <utility>

#include <sqlite3.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

int StoreRow(void* row, int columns, char** values, char**) {
  if (row != nullptr && columns > 0 && values[0] != nullptr) {
    *static_cast<std::string*>(row) = values[0];
  }
  return 0;
}

}  // namespace

void SqliteCloser::operator()(sqlite3* database) const { sqlite3_close_v2(database); }
void SqliteCloser::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

absl::Status SqliteStatus(sqlite3* database, absl::string_view path, absl::string_view what) {
  return absl::Status(CodeOf(sqlite3_errcode(database)),
                      absl::StrCat(path, ": ", what, ": ", sqlite3_errmsg(database)));
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* database, const std::string& path,
                                             const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
      SQLITE_OK) {
    return SqliteStatus(database, path, "prepare");
  }
  return Statement(StatementPtr(statement), path);
}

// Binding fails only for an index that the statement does not have, and without
// memory; the step then reports a missing value as a broken NOT NULL.
Statement& Statement::Bind(int index, absl::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::Bind(int index, std::int64_t number) {
  sqlite3_bind_int64(statement_.get(), index, number);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return SqliteStatus(sqlite3_db_handle(statement_.get()), path_, sqlite3_sql(statement_.get()));
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

std::string Statement::Text(int column) const {
  // In this order: the text call may convert, which changes the size.
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return text == nullptr ? std::string() : std::string(text, size);
}

std::int64_t Statement::Number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

void Statement::Reset() { sqlite3_reset(statement_.get()); }

absl::Status SqliteExecute(sqlite3* database, const std::string& path, const std::string& sql,
                           std::string* row) {
  if (sqlite3_exec(database, sql.c_str(), StoreRow, row, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return SqliteStatus(database, path, sql);
}

}  // namespace tombolo::ca
