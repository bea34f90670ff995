#include "tests/support/test_nfs.h"

#include <fcntl.h>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// Packages may have to be installed.
constexpr std::chrono::seconds kStartTimeout{120};
// As long as it takes, for the test's own watchdog to bound: a server that is left behind stays.
constexpr std::chrono::hours kStopTimeout{1};

std::map<std::string, std::string> parse(const std::string& text) {
  std::map<std::string, std::string> settings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t mark = line.find('=');
    if (line.starts_with("NFS_") && mark != std::string::npos) {
      settings[line.substr(0, mark)] = line.substr(mark + 1);
    }
  }
  return settings;
}

}  // namespace

TestNfs::TestNfs(const TempDir& temp) : TestNfs(temp, {}) {}

TestNfs::TestNfs(const TempDir& temp, Place place)
    : place_(std::move(place)),
      dir_(temp.make_dir("nfs-server")),
      root_(place_.exported.empty() ? temp.path().substr(0, temp.path().rfind('/'))
                                    : place_.exported) {
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

TestNfs::~TestNfs() {
  life_.reset();
  (void)process_->wait(kStopTimeout);
}

std::string TestNfs::needs() {
  return ::geteuid() == 0 ? "" : "needs root: an NFS server";
}

std::vector<std::string> TestNfs::script(const std::vector<std::string>& words) const {
  std::vector<std::string> argv;
  // Not `ip netns exec`: its mount namespace would keep all that other tests unmount meanwhile.
  if (!place_.name_space.empty()) argv = {"nsenter", "--net=/run/netns/" + place_.name_space};
  for (const std::string& word :
       {std::string("env"), "SERVERS_DIR=" + dir_, "NFS_EXPORT=" + root_,
        "NFS_ADDRESS=" + place_.address, std::string(NETFS_TEST_SERVERS) + "/nfs.sh"}) {
    argv.push_back(word);
  }
  argv.insert(argv.end(), words.begin(), words.end());
  return argv;
}

bool TestNfs::command(const std::string& verb) {
  return run_by(outside_, script({verb}), kStartTimeout) == 0;
}

std::string TestNfs::log() const {
  return process_->output() + read_text(dir_ + "/nfs/log");
}

std::string TestNfs::setting(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() ? "" : found->second;
}

std::string TestNfs::url(const std::string& path) const {
  return "nfs://" + place_.address + path + "?version=3&nfsport=" + setting("NFS_PORT") +
         "&mountport=" + setting("NFS_MOUNT_PORT");
}

std::string TestNfs::url_4(const std::string& path) const {
  return "nfs://" + place_.address + path + "?version=4&nfsport=" + setting("NFS_PORT");
}

}  // namespace netfs::test
