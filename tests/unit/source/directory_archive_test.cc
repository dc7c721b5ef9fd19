// SPDX-License-Identifier: Apache-2.0
#include "source/directory_archive.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {
namespace {

absl::StatusCode CodeOf(absl::string_view text, const std::string& own = "east") {
  return Unarchive(text, own).status().code();
}

TEST(DirectoryArchiveTest, SaysTheSameAfterARestart) {
  const std::string text = Archive(Shared(WestKeys()));
  const auto shared = Unarchive(text, "east");
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(Archive(*shared), text);
  const auto imported = ImportDirectory(*EastFile(), *shared);
  ASSERT_TRUE(imported.ok()) << imported.status();
  const mesh::ServiceRef web =
      imported->snapshot->FindVip(*net::SocketAddress::Parse("10.112.0.7:80"));
  ASSERT_NE(web.port, nullptr);
  EXPECT_EQ(web.port->endpoints.size(), 1u);
  EXPECT_TRUE(Unarchive(Archive(SharedDirectory("east")), "east").ok());
}

TEST(DirectoryArchiveTest, OneThatIsTornIsNotTaken) {
  const std::string text = Archive(Shared(WestKeys()));
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(CodeOf(text.substr(0, size)), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_EQ(CodeOf(text + "x"), absl::StatusCode::kDataLoss);
}

TEST(DirectoryArchiveTest, OneThatHasChangedIsNotTaken) {
  const std::string text = Archive(Shared(WestKeys()));
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == '7' ? '8' : '7';
    EXPECT_FALSE(Unarchive(changed, "east").ok()) << changed;
  }
}

TEST(DirectoryArchiveTest, OneOfANewerVersionOrAnotherClusterIsNotTaken) {
  const std::string text = Archive(Shared(WestKeys()));
  EXPECT_EQ(CodeOf(absl::StrReplaceAll(text, {{"tombolo-directory 1\n", "tombolo-directory 2\n"}})),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf(text, "west"), absl::StatusCode::kFailedPrecondition);
}

// Whoever could write the file still cannot say more than in etcd.
TEST(DirectoryArchiveTest, WhatItSaysIsJudged) {
  Keys keys = WestKeys();
  keys["clusters/west/services/payments/api"] = Exported(kWestWeb);
  const auto shared = Unarchive(Archive(Shared(keys)), "east");
  ASSERT_TRUE(shared.ok()) << shared.status();
  const auto imported = ImportDirectory(*EastFile(), *shared);
  EXPECT_TRUE(imported->refusals.groups().contains({"west", RefusalReason::kNamespace}));
}

}  // namespace
}  // namespace tombolo::source
