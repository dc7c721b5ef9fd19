// SPDX-License-Identifier: Apache-2.0
#include "admin/server.h"

#include <set>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
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

unsigned HttpCode(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return 400;
  return absl::IsNotFound(status) ? 404 : 500;
}

HttpResponse TextError(unsigned status, absl::string_view message) {
  return {status, kText, absl::StrCat(message, "\n")};
}

}  // namespace

absl::StatusOr<Query> ParseQuery(absl::string_view text) {
  Query query;
  if (text.empty()) return query;
  for (const absl::string_view part : absl::StrSplit(text, '&')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto& [key, value] = pair;
    if (key.empty() || value.empty() || absl::StrContains(part, '%')) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", part, "' of the query is not key=value without escapes"));
    }
    if (!query.try_emplace(std::string(key), value).second) {
      return absl::InvalidArgumentError(absl::StrCat("'", key, "' is in the query twice"));
    }
  }
  return query;
}

// One provider at work. Whoever asked may have stopped waiting.
struct Server::Call {
  Call(const asio::any_io_executor& executor, std::string noun_in, Query query_in,
       MonotonicTime deadline)
      : noun(std::move(noun_in)), query(std::move(query_in)), done(executor, deadline) {}
  std::string noun;
  Query query;  // of a question
  std::optional<absl::StatusOr<json::value>> answer;
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
  const auto question = providers_.questions.find(call->noun);
  if (question != providers_.questions.end()) {
    call->answer.emplace(co_await question->second(call->query));
  } else {
    call->answer.emplace(co_await providers_.nouns.find(call->noun)->second());
  }
  if (call->overdue && --overdue_[call->noun] == 0) overdue_.erase(call->noun);
  call->done.cancel();
}

bool Server::Has(const std::string& noun) const {
  return providers_.nouns.contains(noun) || providers_.questions.contains(noun);
}

std::string Server::Known() const {
  std::set<std::string> names;
  for (const auto& [name, provider] : providers_.nouns) names.insert("/v1/" + name);
  for (const auto& [name, provider] : providers_.questions) names.insert("/v1/" + name);
  return absl::StrJoin(names, " ");
}

Awaitable<HttpResponse> Server::AnswerNoun(std::string path, std::string query) {
  absl::string_view noun = path;
  if (!absl::ConsumePrefix(&noun, "/v1/") || !Has(std::string(noun))) {
    co_return JsonError(404, absl::StrCat("no '", path, "' here; there are: ", Known()));
  }
  absl::StatusOr<Query> asked = Query();
  if (providers_.questions.contains(std::string(noun))) asked = ParseQuery(query);
  if (!asked.ok()) co_return JsonError(400, asked.status().message());
  // A stuck provider costs its first callers their time, and no one else's.
  if (overdue_.contains(noun)) {
    co_return JsonError(
        503, absl::StrCat("an earlier request for ", noun, " has not been answered yet"));
  }
  auto call = std::make_shared<Call>(executor_, std::string(noun), *std::move(asked),
                                     After(options_.provider_deadline));
  calls_.Spawn(Run(call));
  if (!call->answer) co_await call->done.async_wait(kUseTuple);
  if (!call->answer) {
    call->overdue = true;
    ++overdue_[call->noun];
    co_return JsonError(504, absl::StrCat("the agent could not collect ", noun, " in time"));
  }
  const absl::StatusOr<json::value>& answer = *call->answer;
  if (!answer.ok()) co_return JsonError(HttpCode(answer.status()), answer.status().message());
  co_return HttpResponse{200, kJson, json::serialize(*answer) + "\n"};
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
  ASSIGN_OR_RETURN(unix_, HttpListener::Create(
                              executor_, unix_file_->TakeFd(), options_.limits,
                              [this](std::string path, std::string query) {
                                return AnswerNoun(std::move(path), std::move(query));
                              },
                              JsonError));
  if (tcp.valid()) {
    ASSIGN_OR_RETURN(tcp_, HttpListener::Create(
                               executor_, std::move(tcp), options_.limits,
                               [this](std::string path, const std::string&) {
                                 return AnswerProbe(std::move(path));
                               },
                               TextError));
    tcp_->Run();
  }
  unix_->Run();
  return absl::OkStatus();
}

}  // namespace tombolo::admin
