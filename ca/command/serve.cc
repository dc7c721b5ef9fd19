// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/resource.h>

#include <memory>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "admin/metrics.h"
#include "admin/process_metrics.h"
#include "base/asio.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "command/commands.h"
#include "serve/front.h"
#include "serve/probes.h"
#include "serve/running_authority.h"
#include "source/values.h"

namespace tombolo::ca {
namespace {

constexpr Duration kDrain = std::chrono::seconds(10);

struct ServeOptions : CommonOptions {
  std::string min_ttl = "5m";
};

// A descriptor for every agent that waits for the next trust bundle.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

std::string MetricsText(const RunningAuthority& running, const Front& front) {
  admin::Metrics metrics;
  metrics.Add([&] { return running.Samples(); });
  metrics.Add([&] { return front.Samples(); });
  metrics.Add(admin::ProcessMetrics);
  return metrics.Text();
}

Awaitable<void> UntilStopped(asio::io_context& io, admin::HttpListener* probes) {
  asio::signal_set signals(io, SIGTERM, SIGINT);
  (void)co_await signals.async_wait(kUseTuple);
  if (probes != nullptr) co_await probes->Stop();
}

absl::Status Serve(const ServeOptions& options) {
  ASSIGN_OR_RETURN(const Duration shortest, source::ParseDeadline(options.min_ttl));
  ASSIGN_OR_RETURN(
      const CaConfig config,
      LoadCaConfig(options.config, std::chrono::duration_cast<std::chrono::seconds>(shortest)));
  log::SetUp(config.log.level, config.log.format);
  RaiseDescriptorLimit();
  // OpenSSL writes without MSG_NOSIGNAL.
  signal(SIGPIPE, SIG_IGN);
  Front front;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<RunningAuthority> running,
      RunningAuthority::Start(config, [&front](const ViewPtr& view) { front.Publish(view); }));
  RETURN_IF_ERROR(front.Start(config, *running));
  // Before what it asks is gone, however this ends.
  absl::Cleanup stop = [&front] { front.Stop(kDrain); };
  asio::io_context io(1);
  std::unique_ptr<admin::HttpListener> probes;
  if (config.admin.listen) {
    ASSIGN_OR_RETURN(probes,
                     ListenForProbes(io.get_executor(), *config.admin.listen,
                                     {.not_ready = [&] { return running->NotReady(); },
                                      .metrics = [&] { return MetricsText(*running, front); }}));
  }
  log::Info("authority started", {{"trust_domain", config.trust_domain},
                                  {"listen", config.serve.listen.ToString()},
                                  {"trust_sequence", running->view()->sequence}});
  asio::co_spawn(io, UntilStopped(io, probes.get()), [&io](std::exception_ptr error) {
    io.stop();
    if (error) std::rethrow_exception(error);
  });
  io.run();
  std::move(stop).Invoke();
  log::Info("authority stopped");
  return absl::OkStatus();
}

}  // namespace

void AddServe(CLI::App& app, Action& action) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* serve = AddCommand(app, "serve", "answer nodes and workloads", *options);
  serve->add_option("--min-ttl", options->min_ttl, "what 'ttl' is at least; less is for tests")
      ->capture_default_str();
  serve->callback([options, &action] { action = [options] { return Serve(*options); }; });
}

}  // namespace tombolo::ca
