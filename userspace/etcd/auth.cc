// SPDX-License-Identifier: Apache-2.0
#include "etcd/auth.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "etcd/client.h"
#include "etcd/json.h"

namespace tombolo::etcd {
namespace {

namespace json = boost::json;

absl::Status Administer(Client& client, absl::string_view what, const json::object& body) {
  return client.Administer(absl::StrCat("/v3/auth/", what), json::serialize(body));
}

absl::Status UnlessThere(const absl::Status& status) {
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::Status UnlessGone(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// The gateway names the type in words, and leaves out the first one, READ.
absl::StatusOr<Permission> DecodePermission(const json::object& fields) {
  Permission permission;
  ASSIGN_OR_RETURN(const std::string type, TextOf(fields, "permType"));
  // Who may write what he cannot read is none of ours; it has to go, as something different.
  permission.write = !type.empty() && type != "READ";
  ASSIGN_OR_RETURN(permission.key, BytesOf(fields, "key"));
  ASSIGN_OR_RETURN(permission.end, BytesOf(fields, "range_end"));
  return permission;
}

absl::StatusOr<std::vector<Permission>> PermissionsOf(Client& client, const std::string& role) {
  ASSIGN_OR_RETURN(const std::string body,
                   client.Look("/v3/auth/role/get", json::serialize(json::object{{"role", role}})));
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const std::vector<const json::object*> list, ObjectsOf(object, "perm"));
  std::vector<Permission> permissions;
  for (const json::object* fields : list) {
    ASSIGN_OR_RETURN(Permission permission, DecodePermission(*fields));
    permissions.push_back(std::move(permission));
  }
  return permissions;
}

absl::Status Grant(Client& client, const std::string& role, const Permission& permission) {
  return Administer(client, "role/grant",
                    {{"name", role},
                     {"perm", json::object{{"permType", permission.write ? "READWRITE" : "READ"},
                                           {"key", absl::Base64Escape(permission.key)},
                                           {"range_end", absl::Base64Escape(permission.end)}}}});
}

absl::Status Revoke(Client& client, const std::string& role, const Permission& permission) {
  return Administer(client, "role/revoke",
                    {{"role", role},
                     {"key", absl::Base64Escape(permission.key)},
                     {"range_end", absl::Base64Escape(permission.end)}});
}

}  // namespace

absl::Status EnsureUser(Client& client, const std::string& name, const std::string& password) {
  return UnlessThere(Administer(client, "user/add", {{"name", name}, {"password", password}}));
}

absl::Status SetPassword(Client& client, const std::string& name, const std::string& password) {
  return Administer(client, "user/changepw", {{"name", name}, {"password", password}});
}

absl::Status EnsureRoleOf(Client& client, const std::string& user, const std::string& role) {
  return Administer(client, "user/grant", {{"user", user}, {"role", role}});
}

absl::Status EnsureRole(Client& client, const std::string& role,
                        const std::vector<Permission>& permissions) {
  RETURN_IF_ERROR(UnlessThere(Administer(client, "role/add", {{"name", role}})));
  if (permissions.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<Permission> before, PermissionsOf(client, role));
  for (const Permission& permission : before) {
    if (std::find(permissions.begin(), permissions.end(), permission) == permissions.end()) {
      RETURN_IF_ERROR(Revoke(client, role, permission));
    }
  }
  for (const Permission& permission : permissions) {
    RETURN_IF_ERROR(Grant(client, role, permission));
  }
  return absl::OkStatus();
}

absl::Status RemoveUser(Client& client, const std::string& name) {
  return UnlessGone(Administer(client, "user/delete", {{"name", name}}));
}

absl::Status RemoveRole(Client& client, const std::string& role) {
  return UnlessGone(Administer(client, "role/delete", {{"role", role}}));
}

absl::StatusOr<std::vector<std::string>> RolesOf(Client& client, const std::string& user) {
  ASSIGN_OR_RETURN(const std::string body,
                   client.Look("/v3/auth/user/get", json::serialize(json::object{{"name", user}})));
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  std::vector<std::string> roles;
  const json::value* list = object.if_contains("roles");
  if (list == nullptr) return roles;
  if (!list->is_array()) return BadAnswer("'roles' is not a list");
  for (const json::value& role : list->get_array()) {
    if (!role.is_string()) return BadAnswer("'roles' has more than names");
    roles.emplace_back(role.get_string());
  }
  return roles;
}

absl::Status EnableAuthentication(Client& client) { return Administer(client, "enable", {}); }

absl::StatusOr<bool> AuthenticationEnabled(Client& client) {
  const absl::Status status = client.Range({.key = "/", .count_only = true}).status();
  if (absl::IsUnauthenticated(status)) return true;
  if (!status.ok()) return status;
  return false;
}

absl::Status CheckNobodyIsSomebody(Client& client, const std::string& key) {
  const absl::Status status = client.Range({.key = key, .count_only = true}).status();
  // Also a user who has no rights, or who does not exist, is no way in.
  if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) return absl::OkStatus();
  if (!status.ok()) return status;
  return absl::FailedPreconditionError(
      "takes everybody who has a certificate for a user, because its own certificate has the "
      "user's name as its common name (CN): give it one without");
}

std::string EncodeAuthenticate(const std::string& user, const std::string& password) {
  return json::serialize(json::object{{"name", user}, {"password", password}});
}

absl::StatusOr<Authentication> DecodeAuthenticate(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const Header header, HeaderOf(object));
  Authentication got{.cluster = header.cluster};
  ASSIGN_OR_RETURN(got.token, TextOf(object, "token"));
  // It goes into a header.
  const bool visible = std::all_of(got.token.begin(), got.token.end(),
                                   [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (got.token.empty() || !visible) return BadAnswer("no 'token'");
  if (got.cluster == 0) return BadAnswer("no 'cluster_id'");
  return got;
}

}  // namespace tombolo::etcd
