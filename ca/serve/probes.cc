// SPDX-License-Identifier: Apache-2.0
#include "serve/probes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/asio.h"
#include "base/errno_status.h"
#include "net/socket.h"

namespace tombolo::ca {
namespace {

constexpr int kBacklog = 64;
constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";

admin::HttpResponse TextError(unsigned status, absl::string_view message) {
  return {status, kText, absl::StrCat(message, "\n")};
}

Awaitable<admin::HttpResponse> Answer(std::shared_ptr<const ProbeSources> sources,
                                      std::string path) {
  if (path == "/metrics") co_return admin::HttpResponse{200, kMetricsText, sources->metrics()};
  if (path == "/healthz") co_return admin::HttpResponse{200, kText, "ok\n"};
  if (path == "/readyz") {
    const std::vector<std::string> reasons = sources->not_ready();
    if (reasons.empty()) co_return admin::HttpResponse{200, kText, "ready\n"};
    co_return TextError(503, absl::StrJoin(reasons, "\n"));
  }
  co_return TextError(404, "not found; there are: /metrics /healthz /readyz");
}

}  // namespace

absl::StatusOr<std::unique_ptr<admin::HttpListener>> ListenForProbes(
    const boost::asio::any_io_executor& executor, const net::SocketAddress& address,
    ProbeSources sources) {
  absl::StatusOr<Fd> fd = net::Listen(address, kBacklog);
  if (!fd.ok()) return Annotate(fd.status(), "admin.listen");
  auto shared = std::make_shared<const ProbeSources>(std::move(sources));
  auto listener = admin::HttpListener::Create(
      executor, *std::move(fd), {},
      [shared](std::string path, const std::string&) { return Answer(shared, std::move(path)); },
      TextError);
  if (listener.ok()) (*listener)->Run();
  return listener;
}

}  // namespace tombolo::ca
