// SPDX-License-Identifier: Apache-2.0
#include "admin/server.h"

#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::admin {
namespace {

namespace json = boost::json;

constexpr int kBacklog = 64;
constexpr const char* kJson = "application/json";
constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse JsonError(unsigned status, absl::string_view message) {
  return {status, kJson, json::serialize(json::value{{"error", std::string(message)}}) + "\n"};
}

HttpResponse TextError(unsigned status, absl::string_view message) {
  return {status, kText, absl::StrCat(message, "\n")};
}

}  // namespace

// One provider at work. Whoever asked may have stopped waiting.
struct Server::Call {
  Call(const asio::any_io_executor& executor, std::string noun_in, MonotonicTime deadline)
      : noun(std::move(noun_in)), done(executor, deadline) {}
  std::string noun;
  std::optional<json::value> answer;
  bool overdue = false;
  asio::steady_timer done;  // expires at the deadline, cancelled by the answer
};

Server::Server(const asio::any_io_executor& executor, Options options, Providers providers)
    : executor_(executor),
      options_(std::move(options)),
      providers_(std::move(providers)),
      calls_(executor) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const asio::any_io_executor& executor,
                                                      Options options, Providers providers) {
  std::unique_ptr<Server> server(new Server(executor, std::move(options), std::move(providers)));
  // Both sockets are bound before either is served: an error must leave no task
  // behind.
  ASSIGN_OR_RETURN(UnixListener file, UnixListener::Create(server->options_.socket_path));
  server->unix_file_.emplace(std::move(file));
  Fd tcp;
  if (server->options_.listen) {
    ASSIGN_OR_RETURN(tcp, server->BindTcp());
  }
  RETURN_IF_ERROR(server->StartListeners(std::move(tcp)));
  return server;
}

absl::StatusOr<Fd> Server::BindTcp() {
  auto fd = net::Listen(*options_.listen, kBacklog);
  if (!fd.ok()) return Annotate(fd.status(), "admin.listen");
  ASSIGN_OR_RETURN(tcp_address_, net::LocalAddress(fd->get()));
  return fd;
}

Awaitable<void> Server::Stop() {
  if (tcp_) co_await tcp_->Stop();
  co_await unix_->Stop();
  co_await calls_.CancelAndJoin();
  unix_file_.reset();
}

Awaitable<void> Server::Run(std::shared_ptr<Call> call) {
  call->answer = co_await providers_.nouns.find(call->noun)->second();
  if (call->overdue && --overdue_[call->noun] == 0) overdue_.erase(call->noun);
  call->done.cancel();
}

Awaitable<HttpResponse> Server::AnswerNoun(std::string path) {
  absl::string_view noun = path;
  if (!absl::ConsumePrefix(&noun, "/v1/") || !providers_.nouns.contains(std::string(noun))) {
    co_return JsonError(
        404, absl::StrCat("no '", path, "' here; there are: ",
                          absl::StrJoin(providers_.nouns, " ", [](std::string* out, const auto& n) {
                            absl::StrAppend(out, "/v1/", n.first);
                          })));
  }
  // A stuck provider costs its first callers their time, and no one else's.
  if (overdue_.contains(noun)) {
    co_return JsonError(
        503, absl::StrCat("an earlier request for ", noun, " has not been answered yet"));
  }
  auto call =
      std::make_shared<Call>(executor_, std::string(noun), After(options_.provider_deadline));
  calls_.Spawn(Run(call));
  if (!call->answer) co_await call->done.async_wait(kUseTuple);
  if (!call->answer) {
    call->overdue = true;
    ++overdue_[call->noun];
    co_return JsonError(504, absl::StrCat("the agent could not collect ", noun, " in time"));
  }
  co_return HttpResponse{200, kJson, json::serialize(*call->answer) + "\n"};
}

Awaitable<HttpResponse> Server::AnswerProbe(std::string path) {
  if (path == "/metrics") co_return HttpResponse{200, kMetricsText, providers_.metrics()};
  if (path == "/healthz") co_return HttpResponse{200, kText, "ok\n"};
  if (path == "/readyz") {
    const std::vector<std::string> reasons = providers_.not_ready();
    if (reasons.empty()) co_return HttpResponse{200, kText, "ready\n"};
    co_return TextError(503, absl::StrJoin(reasons, "\n"));
  }
  co_return TextError(404, "not found; there are: /metrics /healthz /readyz");
}

absl::Status Server::StartListeners(Fd tcp) {
  ASSIGN_OR_RETURN(
      unix_, HttpListener::Create(
                 executor_, unix_file_->TakeFd(), options_.limits,
                 [this](std::string path) { return AnswerNoun(std::move(path)); }, JsonError));
  if (tcp.valid()) {
    ASSIGN_OR_RETURN(
        tcp_, HttpListener::Create(
                  executor_, std::move(tcp), options_.limits,
                  [this](std::string path) { return AnswerProbe(std::move(path)); }, TextError));
    tcp_->Run();
  }
  unix_->Run();
  return absl::OkStatus();
}

}  // namespace tombolo::admin
