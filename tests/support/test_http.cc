#include "tests/support/test_http.h"

#include <fcntl.h>
#include <sstream>
#include <sys/stat.h>

#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// Packages may have to be installed, keys made.
constexpr std::chrono::seconds kStartTimeout{120};
constexpr std::chrono::seconds kStopTimeout{20};

std::map<std::string, std::string> parse(const std::string& text) {
  std::map<std::string, std::string> settings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t mark = line.find('=');
    if (line.starts_with("HTTP_") && mark != std::string::npos) {
      settings[line.substr(0, mark)] = line.substr(mark + 1);
    }
  }
  return settings;
}

}  // namespace

TestHttp::TestHttp(const TempDir& temp, const std::vector<std::string>& kinds)
    : TestHttp(temp, kinds, {}) {}

TestHttp::TestHttp(const TempDir& temp, const std::vector<std::string>& kinds, Place place)
    : place_(std::move(place)), dir_(temp.make_dir("web" + place_.name_space)) {
  // Servers that are not root find their way.
  ::chmod(temp.path().c_str(), 0755);
  ::chmod(dir_.c_str(), 0755);
  const std::string fifo = dir_ + "/life";
  ::mkfifo(fifo.c_str(), 0600);
  life_ = UniqueFd(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  const std::string root = temp.path().substr(0, temp.path().rfind('/'));
  std::vector<std::string> argv;
  if (!place_.name_space.empty()) {
    // Not `ip netns exec`: its mount namespace would keep all that other tests unmount meanwhile.
    argv = {"nsenter", "--net=/run/netns/" + place_.name_space};
  }
  const std::string script = std::string(NETFS_TEST_SERVERS) + "/http.sh";
  for (const std::string& word :
       {std::string("env"), "SERVERS_DIR=" + dir_, "HTTP_ROOT=" + root,
        "HTTP_ADDRESS=" + place_.address, script, std::string("hold"), fifo}) {
    argv.push_back(word);
  }
  argv.insert(argv.end(), kinds.begin(), kinds.end());
  process_ = std::make_unique<Process>(argv, dir_ + "/output");
  const auto is_up = [&] {
    settings_ = parse(process_->output());
    return ready() || process_->wait(Duration::zero()).has_value();
  };
  (void)wait_until(is_up, kStartTimeout);
}

TestHttp::~TestHttp() {
  life_.reset();
  (void)process_->wait(kStopTimeout);
}

std::string TestHttp::log() const {
  return process_->output() + read_text(dir_ + "/http/log");
}

std::string TestHttp::setting(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() ? "" : found->second;
}

std::string TestHttp::url(const std::string& port, const std::string& path,
                          const std::string& scheme) const {
  return scheme + "://" + place_.address + ":" + setting(port) + path;
}

}  // namespace netfs::test
