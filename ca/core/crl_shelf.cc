// SPDX-License-Identifier: Apache-2.0
#include "core/crl_shelf.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tls/validity.h"

namespace tombolo::ca {
namespace {

constexpr std::chrono::seconds kTryAgain{30};

std::string SerialsOf(const std::vector<tls::RevokedCertificate>& revoked) {
  std::string serials;
  for (const tls::RevokedCertificate& certificate : revoked) {
    absl::StrAppend(&serials, certificate.serial, " ");
  }
  return serials;
}

}  // namespace

absl::StatusOr<std::string> CrlShelf::Get(const tls::Issuer& issuer, const std::string& id,
                                          const std::vector<tls::RevokedCertificate>& revoked,
                                          WallTime now) {
  std::string serials = SerialsOf(revoked);
  Signed& list = signed_[id];
  list.used = true;
  const bool good = !list.der.empty() && list.serials == serials &&
                    list.issuer == issuer.certificate() && now < list.renew;
  if (good) return list.der;
  // Replicas sign for themselves: the time is a number that grows for all of them.
  const auto number = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  absl::StatusOr<std::string> der =
      tls::BuildCrl(issuer, {.number = static_cast<std::uint64_t>(number.count()),
                             .this_update = now - tls::Validity::kBackdate,
                             .next_update = now + ttl_,
                             .revoked = revoked});
  if (!der.ok()) {
    list.renew = now + kTryAgain;
    return der;
  }
  list.der = *std::move(der);
  list.serials = std::move(serials);
  list.issuer = issuer.certificate();
  list.renew = now + ttl_ / 2;
  return list.der;
}

WallTime CrlShelf::next() const {
  WallTime next = WallTime::max();
  for (const auto& [id, list] : signed_) {
    if (!list.der.empty()) next = std::min(next, list.renew);
  }
  return next;
}

void CrlShelf::Sweep() {
  std::erase_if(signed_, [](const auto& entry) { return !entry.second.used; });
  for (auto& [id, list] : signed_) list.used = false;
}

}  // namespace tombolo::ca
