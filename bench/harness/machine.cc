#include "harness/machine.h"

#include <fstream>
#include <stdlib.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <time.h>

#include "harness/jobs.h"
#include "harness/process.h"
#include "sync/thread.h"

namespace netfs::bench {

namespace {

std::string field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, name.size(), name) != 0) continue;
    size_t value = line.find_first_not_of(" \t:", name.size());
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::string filesystem_of(const std::string& path) {
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0) return "unknown";
  switch (static_cast<unsigned long>(info.f_type)) {
    case 0xef53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x9123683e:
      return "btrfs";
    case 0x01021994:
      return "tmpfs";
    case 0x794c7630:
      return "overlay";
    default:
      return "type " + std::to_string(info.f_type);
  }
}

// Both say it on their error output, nginx with words of its own before it.
std::string servers() {
  std::string ssh = line_of({"/bin/sh", "-c", "ssh -V 2>&1"}, "OpenSSH");
  std::string nginx = line_of({"/bin/sh", "-c", "nginx -v 2>&1"}, "nginx version: ");
  ssh = ssh.substr(0, ssh.find(','));
  nginx = nginx.substr(nginx.find(": ") == std::string::npos ? 0 : nginx.find(": ") + 2);
  return ssh.empty() || nginx.empty() ? ssh + nginx : ssh + ", " + nginx;
}

}  // namespace

Machine describe_machine(const std::string& workdir) {
  Machine machine;
  utsname names{};
  ::uname(&names);
  machine.version = line_of({"git", "-c", "safe.directory=*", "-C", NETFS_SOURCE_DIR, "describe",
                             "--always", "--dirty", "--tags"},
                            "");
  machine.kernel = std::string(names.sysname) + " " + names.release + " " + names.machine;
  machine.cpu = field_of("/proc/cpuinfo", "model name");
  machine.cpus = sync::cpu_count();
  machine.memory = field_of("/proc/meminfo", "MemTotal");
  machine.filesystem = filesystem_of(workdir);
  char text[64];
  time_t now = ::time(nullptr);
  tm utc{};
  ::gmtime_r(&now, &utc);
  ::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
  machine.date = text;
  machine.servers = servers();
  return machine;
}

double load_now() {
  double load = 0;
  return ::getloadavg(&load, 1) == 1 ? load : -1;
}

double clock_ghz_now() {
  constexpr uint64_t kAdditions = 50'000'000;
  double before = monotonic_seconds();
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kAdditions; ++i) {
    sum += i;
    asm volatile("" : "+r"(sum));  // Keeps the chain of additions one a cycle.
  }
  return static_cast<double>(kAdditions) / (monotonic_seconds() - before) / 1e9;
}

}  // namespace netfs::bench
