// SPDX-License-Identifier: Apache-2.0
#include "serve/front.h"

#include <atomic>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "serve/front_metrics.h"
#include "server/https_server.h"

namespace tombolo::ca {
namespace {

using PublishedPtr = std::shared_ptr<const Published>;
using ContextPtr = std::shared_ptr<const tls::HttpsContext>;

PublishedPtr ToPublished(const View& view) {
  return std::make_shared<const Published>(
      Published{.roots = view.roots,
                .bundle = view.bundle,
                .sequence = static_cast<std::uint64_t>(view.sequence),
                .crls = view.crls});
}

CertificateRequest ToRequest(EnrolRequest request) {
  CertificateRequest asked{.csr = std::move(request.csr),
                           .renew = request.renew,
                           .peer = {},
                           .token = request.caller.token.value_or(""),
                           .address = std::move(request.caller.address)};
  if (request.caller.peer) {
    asked.peer = Peer{.id = request.caller.peer->id,
                      .serial = request.caller.peer->serial,
                      .not_after = request.caller.peer->not_after,
                      .judged_by = static_cast<std::int64_t>(request.caller.judged_by)};
  }
  return asked;
}

Handlers HandlersOf(RunningAuthority& authority, std::function<PublishedPtr()> published) {
  return {.enrol =
              [&authority](EnrolRequest request, Handlers::EnrolAnswer answer) {
                authority.service().Enrol(
                    ToRequest(std::move(request)),
                    [answer = std::move(answer)](absl::StatusOr<Enrolled> enrolled) {
                      if (!enrolled.ok()) return answer(enrolled.status());
                      answer(std::move(enrolled->certificates));
                    });
              },
          .published = std::move(published),
          .acknowledged =
              [&authority](const SpiffeId& node, std::uint64_t sequence) {
                authority.acks().Note(node, static_cast<std::int64_t>(sequence));
              }};
}

}  // namespace

struct Front::Impl {
  std::mutex mutex;
  // All guarded by `mutex`.
  PublishedPtr published;
  ContextPtr context;
  HttpsServer* running = nullptr;

  std::unique_ptr<HttpsServer> server;  // of the thread that starts and stops
};

Front::Front() : impl_(std::make_unique<Impl>()) {}
Front::~Front() = default;

void Front::Publish(const ViewPtr& view) {
  PublishedPtr published = ToPublished(*view);
  ContextPtr context;
  if (view->server != nullptr) {
    auto made = tls::HttpsContext::ForServer(*view->server);
    if (made.ok()) context = *std::move(made);
    if (!made.ok()) log::Error("the server keeps its old certificate", {{"reason", made.status()}});
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->published = std::move(published);
  if (context != nullptr) impl_->context = std::move(context);
  if (impl_->running == nullptr) return;
  // Who is revoked by it is judged by it with the next request.
  impl_->running->SetContext(impl_->context);
  impl_->running->Changed();
}

absl::Status Front::Start(const CaConfig& config, RunningAuthority& authority) {
  Impl* impl = impl_.get();
  const std::lock_guard lock(impl->mutex);
  if (impl->context == nullptr) {
    return absl::FailedPreconditionError("the server has no certificate");
  }
  HttpsServer::Options options;
  options.listen = {config.serve.listen};
  options.threads = static_cast<int>(config.ThreadCount());
  options.limits.connections = static_cast<int>(config.limits.connections);
  // Nodes have half for themselves. Rounded up: a limit of 1 lets one in.
  options.limits.strangers = (options.limits.connections + 1) / 2;
  options.limits.nameless = (options.limits.connections + 3) / 4;
  options.limits.per_address = static_cast<int>(config.limits.connections_per_address);
  options.limits.enrolments = static_cast<int>(config.limits.requests);
  ASSIGN_OR_RETURN(impl->server,
                   HttpsServer::Start(options, impl->context, HandlersOf(authority, [impl] {
                                        const std::lock_guard lock(impl->mutex);
                                        return impl->published;
                                      })));
  impl->running = impl->server.get();
  return absl::OkStatus();
}

std::vector<admin::Sample> Front::Samples() const {
  return impl_->server == nullptr ? std::vector<admin::Sample>()
                                  : FrontSamples(impl_->server->counters());
}

void Front::Stop(Duration patience) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->running = nullptr;
  }
  if (impl_->server != nullptr) impl_->server->Stop(patience);
  impl_->server.reset();
}

}  // namespace tombolo::ca
