// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

struct sqlite3;
struct sqlite3_stmt;

// Owners of SQLite's objects and its errors as Status. Internal to store.
namespace tombolo::ca {

struct SqliteCloser {
  void operator()(sqlite3* database) const;
  void operator()(sqlite3_stmt* statement) const;
};
using SqlitePtr = std::unique_ptr<sqlite3, SqliteCloser>;

// SQLite's last error as "<path>: <what>: <message>". The code says what the
// caller should do: Unavailable (locked or full: try again), DataLoss (damaged),
// PermissionDenied, FailedPrecondition, Internal.
absl::Status SqliteStatus(sqlite3* database, absl::string_view path, absl::string_view what);

// A prepared statement, used again and again by one thread at a time. Ready for
// new values after Reset(), which its user's end calls.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* database, const std::string& path,
                                           const char* sql);

  // Values of ?1, ?2, ...; a text must outlive the steps.
  Statement& Bind(int index, absl::string_view text);
  Statement& Bind(int index, std::int64_t number);

  // Whether there is a row.
  absl::StatusOr<bool> Step();
  // Steps once, for a statement without rows.
  absl::Status Run();
  std::string Text(int column) const;
  std::int64_t Number(int column) const;
  void Reset();

 private:
  using StatementPtr = std::unique_ptr<sqlite3_stmt, SqliteCloser>;
  Statement(StatementPtr statement, std::string path)
      : statement_(std::move(statement)), path_(std::move(path)) {}

  StatementPtr statement_;
  std::string path_;
};

// Runs SQL without values. `row`, if given, gets the first column of the last row.
absl::Status SqliteExecute(sqlite3* database, const std::string& path, const std::string& sql,
                           std::string* row = nullptr);

}  // namespace tombolo::ca
