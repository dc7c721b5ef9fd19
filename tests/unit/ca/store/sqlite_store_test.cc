// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "store_case.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

class SqliteBackend : public Backend {
 public:
  absl::StatusOr<std::unique_ptr<Store>> Open() override {
    return SqliteStore::Open({.path = directory_ / "store.db"});
  }

 private:
  TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreCase, ::testing::Values([]() -> std::unique_ptr<Backend> {
                           return std::make_unique<SqliteBackend>();
                         }));

class SqliteStoreTest : public ::testing::Test {
 protected:
  absl::Status Open() const { return SqliteStore::Open({.path = path_}).status(); }

  void Execute(const char* sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "store.db";
};

int ModeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<int>(info.st_mode & 07777) : -1;
}

TEST_F(SqliteStoreTest, ItsFilesArePrivateWhateverTheUmask) {
  const mode_t before = umask(0);
  const auto store = SqliteStore::Open({.path = path_});
  umask(before);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Commit({.conditions = {}, .puts = {{"a", "b"}}, .deletes = {}}).ok());
  for (const char* suffix : {"", "-wal", "-shm"}) EXPECT_EQ(ModeOf(path_ + suffix), 0600) << suffix;
}

TEST_F(SqliteStoreTest, RefusesAFileThatOthersRead) {
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(Open()));
  EXPECT_THAT(std::string(Open().message()), HasSubstr("store.db: others may read or write it"));
}

TEST_F(SqliteStoreTest, RefusesALink) {
  ASSERT_TRUE(Open().ok());
  std::filesystem::rename(path_, directory_ / "elsewhere");
  std::filesystem::create_symlink(directory_ / "elsewhere", path_);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("store.db: not a regular file"));
}

TEST_F(SqliteStoreTest, RefusesANewerSchema) {
  ASSERT_TRUE(Open().ok());
  Execute("PRAGMA user_version=2");
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_THAT(std::string(Open().message()),
              HasSubstr("store.db: has schema version 2; this program knows 1: upgrade it"));
}

TEST_F(SqliteStoreTest, RefusesAnotherProgramsDatabase) {
  ASSERT_TRUE(Open().ok());
  std::filesystem::remove(path_);
  Execute("CREATE TABLE other(a)");
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("not an authority's store"));
}

TEST_F(SqliteStoreTest, NamesAFileThatIsNoDatabase) {
  FILE* file = fopen(path_.c_str(), "w");
  fputs("this is not a database, but it is long enough to have a header of one", file);
  for (int i = 0; i < 100; ++i) fputs("rubbish and more rubbish ", file);
  fclose(file);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsDataLoss(Open())) << Open();
  EXPECT_THAT(std::string(Open().message()), HasSubstr("/store.db: "));
  EXPECT_TRUE(absl::IsNotFound(SqliteStore::Open({.path = directory_ / "no/x.db"}).status()));
}

TEST_F(SqliteStoreTest, AnotherWriterMakesItUnavailableWithinTheTimeout) {
  const auto store =
      SqliteStore::Open({.path = path_, .busy_timeout = std::chrono::milliseconds(50)});
  ASSERT_TRUE(store.ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto begin = std::chrono::steady_clock::now();
  const auto refused = (*store)->Commit({.conditions = {}, .puts = {{"a", "1"}}, .deletes = {}});
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_FALSE((*store)->Get("a")->has_value()) << "readers go on";
  sqlite3_close(other);
  EXPECT_TRUE((*store)->Commit({.conditions = {}, .puts = {{"a", "1"}}, .deletes = {}}).ok());
}

}  // namespace
}  // namespace tombolo::ca
