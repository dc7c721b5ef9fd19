// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "source/yaml_node.h"

namespace tombolo::source {

// Reads the keys of one map, strictly: every key is asked for by name, and
// Finish() reports those that nobody asked for.
//
//   YamlMap map(root, "", errors);
//   map.Required("cluster", config.cluster, ParseLabel);
//   map.Optional("threads", config.threads, [](auto text) { return ParseNumber(text, 0, 64); });
//   map.Finish();
//
// Errors are collected, never returned; a value in error keeps what it was.
// Borrows the node and the errors.
class YamlMap {
 public:
  // Reports a node that is not a map. A null node is an empty map.
  YamlMap(const YamlNode& node, std::string path, YamlErrors& errors);

  // `parse` takes the text and returns a StatusOr<T> whose error quotes the value.
  // True when `out` was set.
  template <typename T, typename Parse>
  bool Required(absl::string_view key, T& out, const Parse& parse) {
    return Convert(key, Scalar(key, /*required=*/true), out, parse);
  }
  template <typename T, typename Parse>
  bool Optional(absl::string_view key, T& out, const Parse& parse) {
    return Convert(key, Scalar(key, /*required=*/false), out, parse);
  }

  // A list of scalars: appends those that are right.
  template <typename T, typename Parse>
  void List(absl::string_view key, std::vector<T>& out, const Parse& parse) {
    for (const auto& [item, path] : Items(key)) {
      if (!IsScalar(*item, path)) continue;
      auto value = parse(absl::string_view(item->scalar));
      if (value.ok()) {
        out.push_back(*std::move(value));
      } else {
        errors_->Add(item->line, path, value.status().message());
      }
    }
  }

  // A map below this one; an empty one when the key is not there.
  YamlMap Map(absl::string_view key) { return Below(key, /*required=*/false); }
  YamlMap RequiredMap(absl::string_view key) { return Below(key, /*required=*/true); }
  std::vector<YamlMap> Maps(absl::string_view key);  // a list of maps

  // Reports something about a key's value, or about the map itself.
  void Error(absl::string_view key, absl::string_view message);
  void Error(absl::string_view message);
  bool Has(absl::string_view key) const { return Find(key) != nullptr; }
  bool IsMap(absl::string_view key) const;
  // The line of a key's value, or where it should have been.
  int LineOf(absl::string_view key) const;

  void Finish();

 private:
  template <typename T, typename Parse>
  bool Convert(absl::string_view key, const YamlNode* node, T& out, const Parse& parse) {
    if (node == nullptr) return false;
    auto value = parse(absl::string_view(node->scalar));
    if (!value.ok()) {
      errors_->Add(node->line, PathOf(key), value.status().message());
      return false;
    }
    out = *std::move(value);
    return true;
  }

  const YamlEntry* Find(absl::string_view key) const;
  const YamlNode* Ask(absl::string_view key, bool required);
  const YamlNode* Scalar(absl::string_view key, bool required);
  YamlMap Below(absl::string_view key, bool required);
  bool IsScalar(const YamlNode& node, const std::string& path);
  std::vector<std::pair<const YamlNode*, std::string>> Items(absl::string_view key);
  std::string PathOf(absl::string_view key) const;

  const YamlNode* node_;
  std::string path_;
  YamlErrors* errors_;
  bool reported_ = false;                 // the map itself is missing or wrong: that is enough said
  std::vector<absl::string_view> asked_;  // literals of the caller
};

}  // namespace tombolo::source
