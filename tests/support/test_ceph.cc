#include "tests/support/test_ceph.h"

#include <fcntl.h>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/needs.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kStartTimeout{120};
// As long as it takes, for the test's own watchdog to bound: a server that is left behind stays.
constexpr std::chrono::hours kStopTimeout{1};

std::map<std::string, std::string> parse(const std::string& text) {
  std::map<std::string, std::string> settings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t mark = line.find('=');
    if (line.starts_with("CEPH_") && mark != std::string::npos) {
      settings[line.substr(0, mark)] = line.substr(mark + 1);
    }
  }
  return settings;
}

}  // namespace

TestCeph::TestCeph(const TempDir& temp) : dir_(temp.make_dir("ceph-server")) {
  const std::string fifo = dir_ + "/life";
  ::mkfifo(fifo.c_str(), 0600);
  life_ = UniqueFd(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  process_ = std::make_unique<Process>(script({"hold", fifo}), dir_ + "/output");
  const auto is_up = [&] {
    settings_ = parse(process_->output());
    return ready() || process_->wait(Duration::zero()).has_value();
  };
  (void)wait_until(is_up, kStartTimeout);
}

TestCeph::~TestCeph() {
  life_.reset();
  (void)process_->wait(kStopTimeout);
}

std::string TestCeph::needs() {
  if (::geteuid() != 0) return "needs root: a CephFS";
  for (const char* name : {"ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "ceph", "ceph-fuse"}) {
    if (std::string missing = program(name); !missing.empty()) return missing;
  }
  return fuse();
}

std::vector<std::string> TestCeph::script(const std::vector<std::string>& words) const {
  std::vector<std::string> argv = {"env", "SERVERS_DIR=" + dir_,
                                   std::string(NETFS_TEST_SERVERS) + "/ceph.sh"};
  argv.insert(argv.end(), words.begin(), words.end());
  return argv;
}

bool TestCeph::command(const std::vector<std::string>& words) {
  return run(script(words), kStartTimeout).status == 0;
}

std::string TestCeph::log() const {
  return process_->output() + read_text(dir_ + "/ceph/beside.log");
}

std::string TestCeph::setting(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() ? "" : found->second;
}

std::string TestCeph::url(const std::string& path) const {
  return "ceph://" + setting("CEPH_FS") + path;
}

std::map<std::string, std::string> TestCeph::options() const {
  return {{"conf", setting("CEPH_CONF")}, {"keyring", setting("CEPH_KEYRING")}};
}

std::string TestCeph::make_key(const std::string& name, const std::string& mds_caps) {
  const Finished made = run(
      script({"key", name, "mds", mds_caps, "mon", "allow r", "osd", "allow rw"}), kStartTimeout);
  return made.output.substr(0, made.output.find('\n'));
}

}  // namespace netfs::test
