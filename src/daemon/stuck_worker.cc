#include "daemon/stuck_worker.h"

#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/worker_process.h"
#include "fuse/protocol.h"
#include "fuse/wire.h"

namespace netfs::daemon {

namespace {

constexpr unsigned kSecondsMax = 30;
constexpr size_t kBufferBytes = 4 << 20;  // more than a WRITE of any size that we negotiate
constexpr const char* kNotifier = "netfs-notify";

// The name and state of a thread, as in /proc/PID/task/TID/stat: "TID (NAME) STATE ...".
struct ThreadState {
  std::string name;
  char state = '?';
};

ThreadState state_of(const std::string& stat_file) {
  std::string text;
  std::ifstream in(stat_file);
  std::getline(in, text);
  const size_t begin = text.find('(');
  const size_t end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 2 >= text.size()) return {};
  return {text.substr(begin + 1, end - begin - 1), text[end + 2]};
}

void send_header(int fd, int32_t error, uint64_t unique) {
  const fuse::proto::OutHeader out{sizeof out, error, unique};
  // What fails here was answered by somebody, or has ended.
  (void)!::write(fd, &out, sizeof out);
}

// False when the connection has ended.
bool refuse_one(int fd, std::vector<std::byte>& buffer) {
  const ssize_t length = ::read(fd, buffer.data(), buffer.size());
  if (length <= 0) return length < 0 && errno != ENODEV && errno != ECONNABORTED;
  const Result<fuse::Header> header =
      fuse::decode_header(std::span(buffer).first(static_cast<size_t>(length)));
  if (header.ok() && fuse::takes_reply(header.value().opcode)) {
    send_header(fd, -EIO, header.value().unique);
  }
  return true;
}

[[noreturn]] void refuse(const std::vector<int>& fds) {
  reset_signals();
  ::prctl(PR_SET_NAME, "netfs-refuse");
  ::alarm(kSecondsMax);  // ends it, wherever it stands
  std::vector<std::byte> buffer(kBufferBytes);
  std::vector<pollfd> polled;
  for (const int fd : fds) {
    send_header(fd, static_cast<int32_t>(fuse::proto::Notify::kResend), 0);
    polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  }
  while (::poll(polled.data(), polled.size(), -1) > 0) {
    for (pollfd& one : polled) {
      if (one.revents != 0 && !refuse_one(one.fd, buffer)) one.fd = -1;
    }
  }
  ::_exit(0);
}

}  // namespace

bool is_stuck_in_a_notification(pid_t worker) {
  const std::string process = "/proc/" + std::to_string(worker);
  if (state_of(process + "/stat").state != 'Z') return false;
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir((process + "/task").c_str()),
                                                  ::closedir);
  if (!tasks) return false;
  bool notifies = false;
  while (const dirent* entry = ::readdir(tasks.get())) {
    if (entry->d_name[0] == '.') continue;
    const ThreadState thread = state_of(process + "/task/" + entry->d_name + "/stat");
    if (thread.state == 'Z' || thread.state == 'X' || thread.state == '?') continue;
    if (thread.name != kNotifier || thread.state != 'D') return false;
    notifies = true;
  }
  return notifies;
}

Result<pid_t> start_refusing(const std::vector<int>& fds) {
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork");
  if (pid == 0) refuse(fds);
  return pid;
}

}  // namespace netfs::daemon
