// SPDX-License-Identifier: Apache-2.0
#include "source/directory_archive.h"

#include <cstdint>

#include <boost/crc.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json_fields.h"
#include "base/status_macros.h"

namespace tombolo::source {
namespace {

constexpr absl::string_view kMagic = "tombolo-directory ";
constexpr absl::string_view kVersion = "1";

std::uint32_t Crc32(absl::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return crc.checksum();
}

absl::Status Damaged(absl::string_view how) {
  return absl::DataLossError(absl::StrCat("the kept directory is damaged: ", how));
}

// What comes before the next '\n', which is taken, too.
absl::StatusOr<absl::string_view> TakeLine(absl::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == absl::string_view::npos) return Damaged("it ends within a line");
  const absl::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

struct Header {
  std::string cluster;
  std::int64_t entries = 0, bytes = 0, crc32 = 0;
};

absl::StatusOr<Header> ReadHeader(absl::string_view line) {
  JsonFields fields(line, "the kept directory's header");
  Header header;
  header.cluster = fields.Text("cluster");
  header.entries = fields.Number("entries");
  header.bytes = fields.Number("bytes");
  header.crc32 = fields.Number("crc32");
  RETURN_IF_ERROR(fields.Finish());
  return header;
}

absl::Status CheckVersion(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, kMagic)) return Damaged("it does not begin as one");
  if (line == kVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the kept directory is of version ", line.substr(0, 20), ", not ", kVersion));
}

}  // namespace

std::string Archive(const SharedDirectory& shared) {
  std::string body;
  std::int64_t entries = 0;
  // Keys are printable and have no spaces; in JSON as it is serialised, no '\n' stands for itself.
  shared.ForEach([&](const std::string& key, const std::string& value) {
    absl::StrAppend(&body, key, " ", value, "\n");
    ++entries;
  });
  const boost::json::object header{{"cluster", shared.own()},
                                   {"entries", entries},
                                   {"bytes", body.size()},
                                   {"crc32", Crc32(body)}};
  return absl::StrCat(kMagic, kVersion, "\n", boost::json::serialize(header), "\n", body);
}

absl::StatusOr<SharedDirectory> Unarchive(absl::string_view text, const std::string& own) {
  ASSIGN_OR_RETURN(const absl::string_view version, TakeLine(text));
  RETURN_IF_ERROR(CheckVersion(version));
  ASSIGN_OR_RETURN(const absl::string_view first, TakeLine(text));
  ASSIGN_OR_RETURN(const Header header, ReadHeader(first));
  if (static_cast<std::uint64_t>(header.bytes) != text.size() || header.crc32 != Crc32(text)) {
    return Damaged(absl::StrCat("of ", header.bytes, " bytes there are ", text.size(),
                                ", or they have changed"));
  }
  if (header.cluster != own) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kept directory is what cluster '", header.cluster, "' has seen"));
  }
  SharedDirectory shared(own);
  std::int64_t entries = 0;
  for (; !text.empty(); ++entries) {
    ASSIGN_OR_RETURN(const absl::string_view line, TakeLine(text));
    const std::size_t space = line.find(' ');
    if (space == absl::string_view::npos) return Damaged("a line has no value");
    shared.Put(line.substr(0, space), line.substr(space + 1));
  }
  if (entries != header.entries) return Damaged("it has too few lines");
  return shared;
}

}  // namespace tombolo::source
