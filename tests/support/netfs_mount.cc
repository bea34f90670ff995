#include "tests/support/netfs_mount.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <utility>

#include "base/kill_process.h"
#include "tests/support/ring_switch.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kMountTimeout{30};

void sum_numbers(const nlohmann::json& json, const std::string& key, int64_t& sum) {
  for (const auto& item : json.items()) {
    if (item.value().is_structured()) {
      sum_numbers(item.value(), key, sum);
    } else if (json.is_object() && item.key() == key && item.value().is_number()) {
      sum = (sum < 0 ? 0 : sum) + item.value().get<int64_t>();
    }
  }
}

// What the mount had to say of a test that failed: its folder is removed.
void print_end_of(const std::string& log) {
  constexpr size_t kBytesMax = 8 << 10;
  size_t from = log.size() > kBytesMax ? log.find('\n', log.size() - kBytesMax) : 0;
  if (from == std::string::npos) from = log.size() - kBytesMax;
  std::printf("---- the mount's log\n%s\n----\n", log.c_str() + from);
}

}  // namespace

std::string netfs_binary() {
  return NETFS_TEST_BINARY;
}

std::string fault_reader() {
  return NETFS_TEST_FAULT_READER;
}

NetfsMount::NetfsMount(Options options, const TempDir& temp)
    : path_(temp / options.name), log_file_(temp / (options.name + ".log")) {
  ::mkdir(path_.c_str(), 0755);
  std::vector<std::string> argv = std::move(options.in_front);
  argv.insert(argv.end(), {netfs_binary(), "mount", "--foreground", options.url, path_});
  if (!options.cache_dir.empty()) {
    argv.insert(argv.end(), {"--cache-dir", options.cache_dir});
  }
  if (const char* transport = std::getenv("NETFS_TEST_TRANSPORT")) {
    argv.insert(argv.end(), {"--transport", transport});
    static const RingSwitch allowed("Y");
  }
  argv.insert(argv.end(), options.more.begin(), options.more.end());
  process_ = std::make_unique<Process>(argv, log_file_);
  wait_until(
      [this] {
        // In the table it stands before its worker has said that it serves, and until then it is
        // undone if that one dies.
        ready_ = mounted() && status().is_object();
        return ready_ || process_->wait(Duration::zero()).has_value();
      },
      kMountTimeout);
}

NetfsMount::~NetfsMount() {
  // A mount that has ended may have a successor at the same place.
  const bool over = process_->wait(Duration::zero()) || unmount(std::chrono::seconds(60));
  if (testing::Test::HasFailure()) print_end_of(log());
  if (over) return;
  abort();
  const std::vector<pid_t> workers = children_of(supervisor());
  process_->signal(SIGKILL);
  for (pid_t pid : workers) kill_process(pid, SIGKILL);
}

std::string NetfsMount::log() const {
  return read_text(log_file_);
}

bool NetfsMount::says(const std::string& words) const {
  return wait_until([&] { return log().find(words) != std::string::npos; },
                    std::chrono::seconds(20));
}

// By the table of mounts: a stat() of a mount that hangs would hang as well.
bool NetfsMount::mounted() const {
  std::istringstream table(read_text("/proc/self/mountinfo"));
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, where;
    fields >> id >> parent >> device >> root >> where;
    if (where == path_) return true;
  }
  return false;
}

pid_t NetfsMount::worker() const {
  // There is none for a moment after one died.
  std::vector<pid_t> children;
  wait_until(
      [&] {
        children = children_of(supervisor());
        return !children.empty();
      },
      std::chrono::seconds(60));
  return children.empty() ? -1 : children.back();
}

nlohmann::json NetfsMount::status() const {
  const Finished finished =
      run({netfs_binary(), "status", path_, "--json"}, std::chrono::seconds(60));
  if (finished.status != 0) return nullptr;
  return nlohmann::json::parse(finished.output, nullptr, false);
}

int64_t NetfsMount::status_number(const std::string& key) const {
  int64_t sum = -1;
  const nlohmann::json json = status();
  if (json.is_structured()) sum_numbers(json, key, sum);
  return sum;
}

bool NetfsMount::unmount(Duration timeout) {
  if (process_->wait(Duration::zero())) return !mounted();
  const MonoTime until = Clock::system().now() + timeout;
  if (mounted()) {
    const Finished finished = run({netfs_binary(), "umount", path_}, timeout);
    if (finished.status != 0) {
      std::ofstream(log_file_, std::ios::app)
          << "netfs umount: exit code " << finished.status << ": " << finished.output << "\n";
    }
  }
  const Duration left = std::max(Duration(until - Clock::system().now()), Duration::zero());
  return process_->wait(left).has_value() && !mounted();
}

void NetfsMount::abort() const {
  abort_mount(path_);
}

void abort_mount(const std::string& path) {
  ::umount2(path.c_str(), MNT_FORCE | MNT_DETACH);
}

}  // namespace netfs::test
