// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Who may do what in an etcd: users, who have roles, which have permissions. The client
// must be root's, or the cluster without authentication yet.
namespace tombolo::etcd {

class Client;

struct Permission {
  bool write = false;        // and not only read
  std::string key{}, end{};  // as in a RangeRequest

  friend bool operator==(const Permission&, const Permission&) = default;
};

// Each makes what is named so, and finds it made already. Errors are the client's.
absl::Status EnsureUser(Client& client, const std::string& name, const std::string& password);
absl::Status SetPassword(Client& client, const std::string& name, const std::string& password);
absl::Status EnsureRoleOf(Client& client, const std::string& user, const std::string& role);
// With these permissions and no other. `root`, which may do everything, has none.
absl::Status EnsureRole(Client& client, const std::string& role,
                        const std::vector<Permission>& permissions);

// OK, too, when there is none.
absl::Status RemoveUser(Client& client, const std::string& name);
absl::Status RemoveRole(Client& client, const std::string& role);

// NotFound.
absl::StatusOr<std::vector<std::string>> RolesOf(Client& client, const std::string& user);

// Nobody gets in without a user from now on; user and role `root` have to exist.
absl::Status EnableAuthentication(Client& client);
// `client` must be one without a user.
absl::StatusOr<bool> AuthenticationEnabled(Client& client);

// FailedPrecondition: a member does what `key` needs a user for without one, because its own
// certificate has a user's name (CN). With --client-cert-auth, etcd takes everybody who has a
// certificate for that user, if he sends no Accept header. `client` must be one without a user
// and without Accept, of that one member.
absl::Status CheckNobodyIsSomebody(Client& client, const std::string& key);

// What the client itself uses.
inline constexpr char kAuthenticatePath[] = "/v3/auth/authenticate";
struct Authentication {
  std::uint64_t cluster = 0;
  std::string token{};
};
std::string EncodeAuthenticate(const std::string& user, const std::string& password);
absl::StatusOr<Authentication> DecodeAuthenticate(absl::string_view body);

}  // namespace tombolo::etcd
