// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::source {

struct YamlEntry;

// A part of a YAML document that remembers where it was written. Scalars are
// text: what they mean is for the reader of each key to say.
struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;  // from 1
  std::string scalar;
  std::vector<YamlEntry> entries;  // of a list or a map, in the order of the file
};

struct YamlEntry {
  std::string key;  // empty in a list
  int line = 0;     // of the key
  YamlNode value;
};

// Collects what is wrong with one file, so that an operator sees it all at once.
class YamlErrors {
 public:
  static constexpr std::size_t kMaxErrors = 20;  // further ones are only counted

  explicit YamlErrors(std::string file) : file_(std::move(file)) {}

  // `path` names the key, like services[0].ports[1].port; empty: the whole file.
  void Add(int line, absl::string_view path, absl::string_view message);
  bool full() const { return errors_.size() == kMaxErrors; }
  // OK, or InvalidArgument with one "<file>:<line>: <path>: <message>" a line.
  absl::Status ToStatus() const;

 private:
  std::string file_;
  std::vector<std::pair<int, std::string>> errors_;  // line, text
  std::size_t left_out_ = 0;
};

inline constexpr std::size_t kMaxYamlBytes = 16 * 1024 * 1024;
inline constexpr std::size_t kMaxYamlNodes = 2'000'000;  // about 200 bytes each

// Reads a regular file of at most kMaxYamlBytes.
absl::StatusOr<std::string> ReadYamlFile(const std::string& path);

// Parses one document. Nothing, and an error, when it is not YAML, is empty, or
// uses what a configuration has no need of and an attacker has: several
// documents, anchors and aliases (they multiply), tags, keys that are not text.
// A key that is there twice is an error too; the first one is kept.
std::optional<YamlNode> ParseYaml(const std::string& text, YamlErrors& errors);

}  // namespace tombolo::source
