// SPDX-License-Identifier: Apache-2.0
// What a directory of many clusters costs an agent: memory, the time to start with it, and the
// time to take over a change of one endpoint. Prints a table; nothing is sent anywhere.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <malloc.h>
#include <time.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mesh/snapshot_change.h"
#include "source/directory_archive.h"
#include "source/directory_export.h"
#include "source/directory_import.h"

namespace tombolo::source {
namespace {

struct Shape {
  int clusters = 1000;
  int services = 50'000;
  int exporters = 2;   // clusters that have one service
  int endpoints = 5;   // of one service in one cluster
  int ruled = 50'000;  // services that the own file has a rule for
};

// Of the processor, so that a busy machine does not matter.
double Seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
double Milliseconds(double since) { return (Seconds() - since) * 1e3; }

// Of the heap, with what was freed given back.
double Megabytes() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  long pages = 0, resident = 0;
  statm >> pages >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

std::string ClusterName(int i) { return absl::StrCat("cluster-", i); }
std::string Ns(int service) { return absl::StrCat("ns-", service % 500); }

std::string ServiceKey(int cluster, int service) {
  return DirectoryKey{.kind = DirectoryKey::Kind::kService,
                      .cluster = ClusterName(cluster),
                      .ns = Ns(service),
                      .name = absl::StrCat("service-", service)}
      .Text();
}

std::string ServiceValue(int cluster, int service, int endpoints, int ready) {
  const auto count = [](int number) { return static_cast<std::uint32_t>(number); };
  const ServiceRecord record{
      .ports = {{.port = 80,
                 .backends = {{.identity = *SpiffeId::ForWorkload(
                                   "example.org", ClusterName(cluster), Ns(service),
                                   absl::StrCat("account-", service)),
                               .endpoints = count(endpoints),
                               .ready = count(ready),
                               .weight = count(ready)}}}}};
  return Encode(record);
}

void Fill(const Shape& shape, SharedDirectory& shared) {
  NamespaceGrant everybody;
  for (int i = 0; i < shape.clusters; ++i) {
    const std::string name = ClusterName(i);
    everybody.clusters.push_back(name);
    const std::string ip = absl::StrCat("100.", i / 256, ".", i % 256);
    shared.Put(absl::StrCat("admin/clusters/", name),
               absl::StrCat(R"({"gateways":[")", ip, R"(.0/24"]})"));
    shared.Put(absl::StrCat("clusters/", name, "/gateways/g1"),
               absl::StrCat(R"({"address":")", ip, R"(.1:15443"})"));
  }
  for (int i = 0; i < 500; ++i) {
    shared.Put(absl::StrCat("admin/namespaces/ns-", i), Encode(everybody));
  }
  for (int service = 0; service < shape.services; ++service) {
    for (int k = 0; k < shape.exporters; ++k) {
      const int cluster = (service * 7 + k * 131) % shape.clusters;
      shared.Put(ServiceKey(cluster, service),
                 ServiceValue(cluster, service, shape.endpoints, shape.endpoints));
    }
  }
}

std::shared_ptr<mesh::Snapshot> OwnFile(const Shape& shape) {
  auto file = std::make_shared<mesh::Snapshot>();
  file->trust_domain = "example.org";
  file->imports.emplace();
  file->clusters = {
      {.name = "own", .nodes = {{"own-1", *net::SocketAddress::Parse("10.0.0.1:1")}}}};
  for (int i = 0; i < shape.ruled; ++i) {
    file->allow.push_back({.from = "spiffe://example.org/cluster/own/*",
                           .service = absl::StrCat(Ns(i), "/service-", i),
                           .ports = {}});
  }
  if (!file->Index().ok()) std::exit(EXIT_FAILURE);
  return file;
}

// A directory, and what an agent makes of it.
class Mesh {
 public:
  explicit Mesh(const Shape& shape) : shape_(shape), file_(OwnFile(shape)) {}

  void Fill() {
    shared_.emplace("own");
    source::Fill(shape_, *shared_);
    shared_->TakeChanged();  // all of it: what is imported anew
  }
  void Import() {
    absl::StatusOr<ImportedDirectory> imported =
        import_->Run(file_, *shared_, shared_->TakeChanged());
    if (!imported.ok()) {
      std::cerr << "the generated directory is refused: " << imported.status() << "\n";
      std::exit(EXIT_FAILURE);
    }
    refused_ = imported->refusals.groups().size();
    snapshot_ = std::move(imported->snapshot);
  }
  void Restore(const std::string& archive) {
    absl::StatusOr<SharedDirectory> kept = Unarchive(archive, "own");
    if (!kept.ok()) std::exit(EXIT_FAILURE);
    shared_ = *std::move(kept);
    import_.emplace();
    Import();
  }
  void Forget() {
    shared_.reset();
    import_.emplace();
    snapshot_.reset();
  }

  SharedDirectory& shared() { return *shared_; }
  const mesh::Snapshot& file() const { return *file_; }
  const mesh::SnapshotPtr& snapshot() const { return snapshot_; }
  std::size_t refused() const { return refused_; }

 private:
  const Shape shape_;
  const DirectoryImport::FilePtr file_;
  std::optional<SharedDirectory> shared_;
  std::optional<DirectoryImport> import_{std::in_place};
  mesh::SnapshotPtr snapshot_;
  std::size_t refused_ = 0;
};

void Row(const std::string& what, double value, const char* unit) {
  std::cout << absl::StreamFormat("%-72s %10.2f %s\n", what, value, unit);
}

constexpr int kChanges = 10;

// Of `change(i)`, each followed by what an agent does with it.
void MeasureChange(const std::string& what, Mesh& mesh, const std::function<void(int)>& change) {
  double import = 0, use = 0;
  bool captured = false;
  for (int i = 0; i < kChanges; ++i) {
    const mesh::SnapshotPtr before = mesh.snapshot();
    double begin = Seconds();
    change(i);
    mesh.Import();
    import += Milliseconds(begin);
    begin = Seconds();
    const mesh::SnapshotChange different = mesh::Compare(*before, *mesh.snapshot(), "own", "own-1");
    captured |= different.captured;
    use += Milliseconds(begin);
  }
  Row(what, import / kChanges, "ms");
  Row(absl::StrCat("  until the agent knows that the kernel's maps ",
                   captured ? "have to be looked at" : "stay as they are"),
      use / kChanges, "ms");
}

void MeasureChanges(const Shape& shape, Mesh& mesh) {
  const auto cluster_of = [&](int service) { return (service * 7) % shape.clusters; };
  SharedDirectory& shared = mesh.shared();
  const double before = Megabytes();
  const auto change_endpoint = [&](int service) {
    shared.Put(ServiceKey(cluster_of(service), service),
               ServiceValue(cluster_of(service), service, shape.endpoints, shape.endpoints - 1));
  };
  MeasureChange("a change of one endpoint, until there is a new snapshot", mesh,
                [&](int i) { change_endpoint(17 + i); });
  const mesh::SnapshotPtr kept = mesh.snapshot();
  MeasureChange("a service that is not exported any more, or again", mesh, [&](int i) {
    for (int k = 0; k < shape.exporters; ++k) {
      const int cluster = (17 * 7 + k * 131) % shape.clusters;
      i % 2 == 0 ? shared.Erase(ServiceKey(cluster, 17))
                 : shared.Put(ServiceKey(cluster, 17), ServiceValue(cluster, 17, 5, 5));
    }
  });
  MeasureChange("a cluster whose last gateway has gone, or is back", mesh, [&](int i) {
    const std::string key = "clusters/cluster-0/gateways/g1";
    i % 2 == 0 ? shared.Erase(key) : shared.Put(key, R"({"address":"100.0.0.1:15443"})");
  });
  MeasureChange("all services of a namespace: a cluster may not, or may serve it", mesh,
                [&](int i) {
                  NamespaceGrant grant;
                  for (int c = i % 2 == 0 ? 1 : 0; c < shape.clusters; ++c) {
                    grant.clusters.push_back(ClusterName(c));
                  }
                  shared.Put("admin/namespaces/ns-0", Encode(grant));
                });
  MeasureChange("a change of one endpoint after these changes", mesh,
                [&](int i) { change_endpoint(17 + kChanges + i); });
  Row("memory: two snapshots in place of one", Megabytes() - before, "MB");
}

void Measure(const Shape& shape) {
  std::cout << absl::StreamFormat(
      "\nCPU time and memory. %d clusters, %d services in %d clusters each, %d endpoints each (%d "
      "in all), %d services "
      "with a rule\n",
      shape.clusters, shape.services, shape.exporters, shape.endpoints,
      shape.services * shape.exporters * shape.endpoints, shape.ruled);
  Mesh mesh(shape);
  const double before = Megabytes();
  double begin = Seconds();
  mesh.Fill();
  Row("read all keys (their encoding is included)", Milliseconds(begin), "ms");
  const double decoded = Megabytes();
  begin = Seconds();
  mesh.Import();
  Row("first snapshot", Milliseconds(begin), "ms");
  if (mesh.refused() > 0) std::exit(EXIT_FAILURE);
  const double built = Megabytes();
  Row("memory: what etcd says", decoded - before, "MB");
  Row("memory: the snapshot, and what the next one is made of", built - decoded, "MB");
  MeasureChanges(shape, mesh);
  begin = Seconds();
  const std::int64_t now = 1'764'288'000;
  const Publication publication =
      PlanPublication(mesh.file(), *mesh.snapshot(), mesh.shared(), now);
  Row("what a gateway has to publish", Milliseconds(begin), "ms");
  begin = Seconds();
  const std::string archive = Archive(mesh.shared());
  Row("text for the disk", Milliseconds(begin), "ms");
  Row("size on disk", static_cast<double>(archive.size()) / 1e6, "MB");
  mesh.Forget();
  begin = Seconds();
  mesh.Restore(archive);
  Row("start from the disk: read and first snapshot", Milliseconds(begin), "ms");
}

int Main(int argc, char** argv) {
  CLI::App app("Measures what a directory of many clusters costs.");
  Shape shape;
  app.add_option("--clusters", shape.clusters)->capture_default_str()->check(CLI::Range(1, 60000));
  app.add_option("--services", shape.services)->capture_default_str();
  app.add_option("--exporters", shape.exporters, "clusters that have one service")
      ->capture_default_str();
  app.add_option("--endpoints", shape.endpoints, "of one service in one cluster")
      ->capture_default_str();
  app.add_option("--ruled", shape.ruled, "services that the own file has a rule for")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Measure(shape);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace tombolo::source

int main(int argc, char** argv) { return tombolo::source::Main(argc, argv); }
