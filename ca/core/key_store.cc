// SPDX-License-Identifier: Apache-2.0
#include "core/key_store.h"

#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "tls/certificate_builder.h"
#include "tls/digest.h"

namespace tombolo::ca {
namespace {

bool IsUri(const KeyReference& reference) { return reference.find(':') != std::string::npos; }

}  // namespace

absl::StatusOr<tls::SigningKey> KeyStore::Open(const KeyReference& reference) const {
  if (reference.empty()) return absl::FailedPreconditionError("its key is elsewhere");
  if (IsUri(reference)) return tls::SigningKey::FromUri(reference);
  if (reference.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("key '", reference, "' is neither a URI nor the name of a file"));
  }
  const std::string path = absl::StrCat(directory_, "/", reference);
  RETURN_IF_ERROR(CheckPrivate(path));
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
  return tls::SigningKey::FromPem(pem, path);
}

KeyReference KeyStore::FileFor(const std::string& name, const std::string& id) {
  return absl::StrCat(name, "-", id.substr(0, 8), ".key");
}

absl::StatusOr<KeyStore::NewKey> KeyStore::Create(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string pem, tls::GenerateKey());
  ASSIGN_OR_RETURN(tls::SigningKey key, tls::SigningKey::FromPem(pem, "new key"));
  const std::string id = tls::Hex(key.public_key().id());
  NewKey made{.reference = FileFor(name, id), .key = std::move(key)};
  RETURN_IF_ERROR(MakeDirectory(directory_, 0700));
  RETURN_IF_ERROR(CreateFile(absl::StrCat(directory_, "/", made.reference), pem, 0600));
  return made;
}

void KeyStore::Remove(const KeyReference& reference) const {
  if (!IsUri(reference)) unlink(absl::StrCat(directory_, "/", reference).c_str());
}

}  // namespace tombolo::ca
