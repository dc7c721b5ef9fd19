// SPDX-License-Identifier: Apache-2.0
// What a directory of many clusters costs an agent: memory, the time to start with it, and the
// time to take over a change of one endpoint. Prints a table; nothing is sent anywhere.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
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
#include "source/directory_archive.h"
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
  return file;
}

mesh::SnapshotPtr Import(const mesh::Snapshot& file, const SharedDirectory& shared) {
  absl::StatusOr<ImportedDirectory> imported = ImportDirectory(file, shared);
  if (!imported.ok() || !imported->refusals.groups().empty()) {
    std::cerr << "the generated directory is refused: " << imported.status() << "\n";
    std::exit(EXIT_FAILURE);
  }
  return imported->snapshot;
}

void Row(const char* what, double value, const char* unit) {
  std::cout << absl::StreamFormat("%-64s %10.1f %s\n", what, value, unit);
}

// Of what a change costs: a copy of the own file's rules, and the indexes of the snapshot. The rest
// is a pass over what others say. And what a feed does with it then.
void MeasureParts(const mesh::Snapshot& file, const mesh::Snapshot& snapshot) {
  double begin = Seconds();
  const std::vector<mesh::AllowRule> rules = file.allow;
  Row("  of it: a copy of the own rules", Milliseconds(begin), "ms");
  mesh::Snapshot copy;
  copy.trust_domain = snapshot.trust_domain;
  copy.imports = snapshot.imports;
  copy.clusters = snapshot.clusters;
  copy.workloads = snapshot.workloads;
  copy.services = snapshot.services;
  copy.allow = snapshot.allow;
  begin = Seconds();
  if (!copy.Index().ok()) std::exit(EXIT_FAILURE);
  Row("  of it: indexes", Milliseconds(begin), "ms");
  begin = Seconds();
  if (!copy.SaysTheSame(snapshot)) std::exit(EXIT_FAILURE);
  Row("comparing it with the last one, if both say the same", Milliseconds(begin), "ms");
}

void Measure(const Shape& shape) {
  std::cout << absl::StreamFormat(
      "\nCPU time and memory. %d clusters, %d services in %d clusters each, %d endpoints each (%d "
      "in all), %d services "
      "with a rule\n",
      shape.clusters, shape.services, shape.exporters, shape.endpoints,
      shape.services * shape.exporters * shape.endpoints, shape.ruled);
  const auto file = OwnFile(shape);
  const double before = Megabytes();
  double begin = Seconds();
  std::optional<SharedDirectory> shared(std::in_place, "own");
  Fill(shape, *shared);
  Row("read all keys (their encoding is included)", Milliseconds(begin), "ms");
  const double decoded = Megabytes();
  begin = Seconds();
  mesh::SnapshotPtr snapshot = Import(*file, *shared);
  Row("first snapshot", Milliseconds(begin), "ms");
  const double built = Megabytes();
  Row("memory: what etcd says", decoded - before, "MB");
  Row("memory: the snapshot", built - decoded, "MB");

  constexpr int kChanges = 5;
  begin = Seconds();
  for (int i = 0; i < kChanges; ++i) {
    const int service = 17 + i, cluster = (service * 7) % shape.clusters;
    shared->Put(ServiceKey(cluster, service),
                ServiceValue(cluster, service, shape.endpoints, shape.endpoints - 1));
    snapshot = Import(*file, *shared);
  }
  Row("a change of one endpoint, until there is a new snapshot", Milliseconds(begin) / kChanges,
      "ms");
  MeasureParts(*file, *snapshot);
  begin = Seconds();
  const std::string archive = Archive(*shared);
  Row("text for the disk", Milliseconds(begin), "ms");
  Row("size on disk", static_cast<double>(archive.size()) / 1e6, "MB");
  shared.reset();
  snapshot.reset();
  begin = Seconds();
  absl::StatusOr<SharedDirectory> again = Unarchive(archive, "own");
  if (!again.ok()) std::exit(EXIT_FAILURE);
  snapshot = Import(*file, *again);
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
