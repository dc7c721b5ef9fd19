// SPDX-License-Identifier: Apache-2.0
#include "identity/kept_svids.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/files.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;

// cluster.east.ns.shop.sa.curl.pem: labels have no dots, so that names are as different as IDs.
std::string NameOf(const SpiffeId& id) {
  return absl::StrCat(absl::StrReplaceAll(id.path().substr(1), {{"/", "."}}), ".pem");
}

}  // namespace

absl::StatusOr<Certified> KeptSvids::Read(const SpiffeId& id) const {
  if (!kept()) return absl::NotFoundError("workloads' SVIDs are not kept on disk");
  const absl::StatusOr<std::string> pem =
      ReadFile(absl::StrCat(SvidDirectory(options_), "/", NameOf(id)), kMaxFile);
  if (!pem.ok()) return pem.status();
  return Certified{.chain = *pem, .key = *pem};
}

void KeptSvids::Write(const SpiffeId& id, const Svid& svid) {
  if (!kept()) return;
  written_ = ReplacePrivateFile(absl::StrCat(SvidDirectory(options_), "/", NameOf(id)),
                                absl::StrCat(svid.key, svid.chain));
}

void KeptSvids::Sweep(const std::set<SpiffeId>& ids) {
  if (options_.state.empty()) return;
  swept_ = absl::OkStatus();
  std::set<std::string> wanted;
  if (kept()) {
    for (const SpiffeId& id : ids) wanted.insert(NameOf(id));
  }
  std::error_code none;
  std::filesystem::directory_iterator files(SvidDirectory(options_), none), end;
  for (; !none && files != end; files.increment(none)) {
    if (wanted.contains(files->path().filename().string())) continue;
    swept_.Update(RemoveFile(files->path().string()));
  }
}

}  // namespace tombolo::identity
