// sftp_meter: stands between an SFTP client and a server, and writes down what goes by.
//
//   sftp_meter LOG DELAY_MS SERVER [ARGUMENT...]
//
// Run in place of ssh.  Each answer is held back until DELAY_MS after its request came, as a far
// link does.  LOG gets a line of each request when it comes, "> LSTAT", and of each answer when it
// goes, "< LSTAT": before the other side can have it.  A client that does not wait sends its next
// request before the answer goes: so the lines show its round trips (sftp_meter.h).  While there is
// a file LOG.hold, no more answers go than the number that it begins with.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <map>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace netfs::test {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr uint8_t kInit = 1;
constexpr uint8_t kVersion = 2;
constexpr uint8_t kExtended = 200;
constexpr uint32_t kPacketBytesMax = 1 << 20;
constexpr int kLookAgainMs = 5;

uint32_t get_u32(const std::string& in, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4 && at + i < in.size(); ++i) {
    value = value << 8 | static_cast<uint8_t>(in[at + i]);
  }
  return value;
}

bool receive(int fd, std::string& bytes, size_t count) {
  bytes.resize(count);
  for (size_t done = 0; done < count;) {
    const ssize_t n = ::read(fd, bytes.data() + done, count - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool send(int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

// One packet with its length in front.
bool receive_packet(int fd, std::string& packet) {
  std::string payload;
  if (!receive(fd, packet, 4)) return false;
  const uint32_t length = get_u32(packet, 0);
  if (length < 5 || length > kPacketBytesMax || !receive(fd, payload, length)) return false;
  packet += payload;
  return true;
}

std::string name_of(const std::string& packet) {
  static const std::map<uint8_t, std::string> names = {
      {1, "INIT"},     {3, "OPEN"},    {4, "CLOSE"},     {5, "READ"},      {6, "WRITE"},
      {7, "LSTAT"},    {8, "FSTAT"},   {9, "SETSTAT"},   {10, "FSETSTAT"}, {11, "OPENDIR"},
      {12, "READDIR"}, {13, "REMOVE"}, {14, "MKDIR"},    {15, "RMDIR"},    {16, "REALPATH"},
      {17, "STAT"},    {18, "RENAME"}, {19, "READLINK"}, {20, "SYMLINK"}};
  const auto type = static_cast<uint8_t>(packet[4]);
  // An extension by its name, without whose it is.
  if (type == kExtended) {
    const std::string name = packet.substr(13, get_u32(packet, 9));
    return name.substr(0, name.find('@'));
  }
  const auto found = names.find(type);
  return found == names.end() ? "?" : found->second;
}

class Meter {
 public:
  Meter(const char* log_file, std::chrono::milliseconds delay, int to_server, int from_server)
      : log_(::open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)),
        hold_file_(std::string(log_file) + ".hold"),
        delay_(delay),
        to_server_(to_server),
        from_server_(from_server) {}

  // Until the server ends, which it does when the client has gone.
  void run() {
    int client = 0;
    for (;;) {
      pollfd waits[2] = {{client, POLLIN, 0}, {from_server_, POLLIN, 0}};
      ::poll(waits, 2, next_answer_ms());
      // Requests first: one that came while an answer was held back did not wait for it.
      if (waits[0].revents != 0 && !take_request()) {
        ::close(std::exchange(to_server_, -1));
        client = -1;
      }
      if (waits[1].revents != 0 && !take_answer()) return;
      if (!deliver()) return;
    }
  }

 private:
  struct Asked {
    std::string name;
    Time at;
  };
  struct Held {
    std::string name;
    Time due;
    std::string packet;
  };

  [[nodiscard]] int next_answer_ms() {
    if (held_.empty()) return -1;
    if (stands_still()) return kLookAgainMs;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        held_.front().due - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<int64_t>(left.count(), 0));
  }

  bool take_request() {
    std::string packet;
    if (!receive_packet(0, packet)) return false;
    const std::string name = name_of(packet);
    asked_[id_of(packet, kInit)] = {name, std::chrono::steady_clock::now()};
    note("> " + name);
    return send(to_server_, packet);
  }

  bool take_answer() {
    std::string packet;
    if (!receive_packet(from_server_, packet)) return false;
    const Asked& asked = asked_[id_of(packet, kVersion)];
    held_.push_back({asked.name, asked.at + delay_, std::move(packet)});
    return true;
  }

  bool stands_still() {
    const int fd = ::open(hold_file_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      may_go_ = -1;
      return false;
    }
    char text[16] = {};
    const bool told = ::read(fd, text, sizeof text - 1) > 0;
    ::close(fd);
    if (told && may_go_ < 0) may_go_ = std::atoi(text);
    return may_go_ == 0;
  }

  bool deliver() {
    while (!held_.empty() && held_.front().due <= std::chrono::steady_clock::now() &&
           !stands_still()) {
      if (may_go_ > 0) --may_go_;
      note("< " + held_.front().name);
      if (!send(1, held_.front().packet)) return false;
      held_.pop_front();
    }
    return true;
  }

  // INIT and VERSION have none.
  static uint64_t id_of(const std::string& packet, uint8_t without) {
    return static_cast<uint8_t>(packet[4]) == without ? UINT64_MAX : get_u32(packet, 5);
  }
  void note(const std::string& line) const { (void)send(log_, line + "\n"); }

  const int log_;
  const std::string hold_file_;
  int may_go_ = -1;  // answers, while there is such a file
  const std::chrono::milliseconds delay_;
  int to_server_;
  const int from_server_;
  std::map<uint64_t, Asked> asked_;
  std::deque<Held> held_;
};

int run(char** argv) {
  int to_server[2];
  int from_server[2];
  if (::pipe2(to_server, O_CLOEXEC) != 0 || ::pipe2(from_server, O_CLOEXEC) != 0) {
    return 1;
  }
  const pid_t server = ::fork();
  if (server < 0) return 1;
  if (server == 0) {
    ::dup2(to_server[0], 0);
    ::dup2(from_server[1], 1);
    ::execvp(argv[3], argv + 3);
    ::_exit(127);
  }
  ::close(to_server[0]);
  ::close(from_server[1]);
  std::signal(SIGPIPE, SIG_IGN);
  Meter(argv[1], std::chrono::milliseconds(std::atoi(argv[2])), to_server[1], from_server[0]).run();
  // With our ends of its pipes the server ends too; nobody here waits for it.
  return 0;
}

}  // namespace
}  // namespace netfs::test

int main(int argc, char** argv) {
  return argc < 4 ? 2 : netfs::test::run(argv);
}
