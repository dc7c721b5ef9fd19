// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include <sqlite3.h>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "store/sqlite.h"

namespace tombolo::ca {
namespace {

constexpr Store::Limits kLimits{.operations = 1024, .bytes = 8 << 20};
constexpr std::int64_t kApplication = 0x546d6263;  // "Tmbc", in the file's header
constexpr std::int64_t kSchema = 1;
constexpr char kCreate[] =
    "CREATE TABLE entries(key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL,"
    "                     revision INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE store(id INTEGER PRIMARY KEY CHECK(id = 1), revision INTEGER NOT NULL);"
    "INSERT INTO store VALUES(1, 0);";

// A process that closes any descriptor of a file loses its locks on it, SQLite's
// too. So files are only ever opened here where they are new, and nobody opens a
// store meanwhile.
std::mutex opening;

absl::Status CreateDatabase(const std::string& path) {
  const absl::Status created = CreateFile(path, "", 0600);
  return absl::IsAlreadyExists(created) ? absl::OkStatus() : created;
}

absl::Status CheckFile(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others may read or write it; chmod 600 it"));
  }
  if (info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": belongs to uid ", info.st_uid, ", not to uid ", geteuid()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> Pragma(sqlite3* database, const std::string& path, const char* name) {
  ASSIGN_OR_RETURN(Statement statement,
                   Statement::Prepare(database, path, absl::StrCat("PRAGMA ", name).c_str()));
  RETURN_IF_ERROR(statement.Step().status());
  return statement.Number(0);
}

// In a transaction of its own, so that of two processes one makes the tables.
absl::Status PrepareSchema(sqlite3* database, const std::string& path) {
  RETURN_IF_ERROR(SqliteExecute(database, path, "BEGIN IMMEDIATE"));
  absl::Cleanup rollback = [&] { (void)SqliteExecute(database, path, "ROLLBACK"); };
  ASSIGN_OR_RETURN(const std::int64_t application, Pragma(database, path, "application_id"));
  ASSIGN_OR_RETURN(const std::int64_t schema, Pragma(database, path, "user_version"));
  ASSIGN_OR_RETURN(const std::int64_t changes, Pragma(database, path, "schema_version"));
  if (application == 0 && schema == 0 && changes == 0) {  // empty
    RETURN_IF_ERROR(SqliteExecute(database, path,
                                  absl::StrCat(kCreate, "PRAGMA application_id=", kApplication,
                                               "; PRAGMA user_version=", kSchema, "; COMMIT")));
    std::move(rollback).Cancel();
    return absl::OkStatus();
  }
  if (application != kApplication || schema < 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": an SQLite database, but not an authority's store"));
  }
  if (schema > kSchema) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": has schema version ", schema, "; this program knows ", kSchema, ": upgrade it"));
  }
  return absl::OkStatus();
}

absl::Status Configure(sqlite3* database, const SqliteStore::Options& options) {
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, static_cast<int>(options.busy_timeout.count()));
  std::string mode;
  RETURN_IF_ERROR(SqliteExecute(database, options.path, "PRAGMA journal_mode=WAL", &mode));
  if (mode != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat(options.path,
                     ": its file system does not support write-ahead logs (journal "
                     "mode stays '",
                     mode, "')"));
  }
  return SqliteExecute(database, options.path,
                       "PRAGMA synchronous=EXTRA; PRAGMA trusted_schema=OFF; "
                       "PRAGMA cell_size_check=ON");
}

Stored RowOf(const Statement& row) {
  return {.key = row.Text(0), .value = row.Text(1), .revision = row.Number(2)};
}

class SqliteStoreImpl : public Store {
 public:
  struct Statements {
    Statement get, list, revision, set_revision, put, remove, begin, commit, rollback;
  };

  SqliteStoreImpl(SqlitePtr database, std::string path, Statements statements)
      : path_(std::move(path)), database_(std::move(database)), run_(std::move(statements)) {}

  Limits limits() const override { return kLimits; }

  absl::StatusOr<std::optional<Stored>> Get(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    return Find(key);
  }

  absl::StatusOr<std::vector<Stored>> List(const std::string& prefix, const std::string& after,
                                           std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    const absl::Cleanup reset = [this] { run_.list.Reset(); };
    // One lower bound, where the index is entered: with two SQLite takes either, and walks from
    // there. Keys are ASCII without spaces: no key is between `after` and `after` with a space, and
    // 0x7f is greater than whatever follows the prefix.
    const std::string first = after < prefix ? prefix : after + ' ';
    const std::string end = prefix + '\x7f';
    run_.list.Bind(1, first).Bind(2, end).Bind(3, static_cast<std::int64_t>(limit));
    std::vector<Stored> found;
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, run_.list.Step());
      if (!row) return found;
      found.push_back(RowOf(run_.list));
    }
  }

  absl::StatusOr<std::int64_t> Commit(const Transaction& transaction) override {
    RETURN_IF_ERROR(CheckTransaction(transaction, kLimits));
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(run_.begin.Run());
    absl::StatusOr<std::int64_t> revision = Apply(transaction);
    if (!revision.ok()) {
      RollBack();
      return revision;
    }
    const absl::Status committed = run_.commit.Run();
    if (committed.ok()) return revision;
    const bool busy = (sqlite3_errcode(database_.get()) & 0xff) == SQLITE_BUSY;
    RollBack();
    if (busy) return committed;
    // The log may have the transaction on disk, and its recovery may find it.
    return absl::UnknownError(committed.message());
  }

  absl::StatusOr<std::int64_t> Revision() override {
    const std::lock_guard lock(mutex_);
    return ReadRevision();
  }

 private:
  absl::StatusOr<std::optional<Stored>> Find(const std::string& key) {
    const absl::Cleanup reset = [this] { run_.get.Reset(); };
    ASSIGN_OR_RETURN(const bool row, run_.get.Bind(1, key).Step());
    if (!row) return std::nullopt;
    return RowOf(run_.get);
  }

  absl::StatusOr<std::int64_t> ReadRevision() {
    const absl::Cleanup reset = [this] { run_.revision.Reset(); };
    ASSIGN_OR_RETURN(const bool row, run_.revision.Step());
    if (!row) return absl::DataLossError(absl::StrCat(path_, ": its revision is missing"));
    return run_.revision.Number(0);
  }

  absl::StatusOr<std::int64_t> Apply(const Transaction& transaction) {
    for (const Transaction::Condition& condition : transaction.conditions) {
      ASSIGN_OR_RETURN(const std::optional<Stored> stored, Find(condition.key));
      if ((stored ? stored->revision : 0) != condition.revision) {
        return absl::AbortedError(absl::StrCat(condition.key, " has changed"));
      }
    }
    ASSIGN_OR_RETURN(std::int64_t revision, ReadRevision());
    ++revision;
    for (const Transaction::Put& put : transaction.puts) {
      RETURN_IF_ERROR(run_.put.Bind(1, put.key).Bind(2, put.value).Bind(3, revision).Run());
    }
    for (const std::string& key : transaction.deletes) {
      RETURN_IF_ERROR(run_.remove.Bind(1, key).Run());
    }
    RETURN_IF_ERROR(run_.set_revision.Bind(1, revision).Run());
    return revision;
  }

  // After some errors SQLite has done so itself.
  void RollBack() {
    if (sqlite3_get_autocommit(database_.get()) == 0) (void)run_.rollback.Run();
  }

  const std::string path_;
  std::mutex mutex_;
  SqlitePtr database_;
  Statements run_;
};

absl::StatusOr<SqliteStoreImpl::Statements> PrepareStatements(sqlite3* database,
                                                              const std::string& path) {
  const auto prepare = [&](const char* sql) { return Statement::Prepare(database, path, sql); };
  ASSIGN_OR_RETURN(Statement get,
                   prepare("SELECT key, value, revision FROM entries WHERE key = ?1"));
  ASSIGN_OR_RETURN(Statement list, prepare("SELECT key, value, revision FROM entries WHERE "
                                           "key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"));
  ASSIGN_OR_RETURN(Statement revision, prepare("SELECT revision FROM store WHERE id = 1"));
  ASSIGN_OR_RETURN(Statement set_revision, prepare("UPDATE store SET revision = ?1 WHERE id = 1"));
  ASSIGN_OR_RETURN(Statement put, prepare("INSERT INTO entries VALUES(?1, ?2, ?3) ON CONFLICT(key) "
                                          "DO UPDATE SET value = ?2, revision = ?3"));
  ASSIGN_OR_RETURN(Statement remove, prepare("DELETE FROM entries WHERE key = ?1"));
  ASSIGN_OR_RETURN(Statement begin, prepare("BEGIN IMMEDIATE"));
  ASSIGN_OR_RETURN(Statement commit, prepare("COMMIT"));
  ASSIGN_OR_RETURN(Statement rollback, prepare("ROLLBACK"));
  return SqliteStoreImpl::Statements{
      std::move(get),          std::move(list),   std::move(revision),
      std::move(set_revision), std::move(put),    std::move(remove),
      std::move(begin),        std::move(commit), std::move(rollback)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> SqliteStore::Open(const Options& options) {
  const std::lock_guard lock(opening);
  RETURN_IF_ERROR(CreateDatabase(options.path));
  RETURN_IF_ERROR(CheckFile(options.path));
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  const int result = sqlite3_open_v2(options.path.c_str(), &opened, flags, nullptr);
  SqlitePtr database(opened);
  if (result != SQLITE_OK) return SqliteStatus(database.get(), options.path, "open");
  RETURN_IF_ERROR(Configure(database.get(), options));
  RETURN_IF_ERROR(PrepareSchema(database.get(), options.path));
  ASSIGN_OR_RETURN(auto statements, PrepareStatements(database.get(), options.path));
  return std::make_unique<SqliteStoreImpl>(std::move(database), options.path,
                                           std::move(statements));
}

}  // namespace tombolo::ca
