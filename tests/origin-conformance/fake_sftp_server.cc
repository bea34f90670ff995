// fake_sftp_server: an SFTP server over standard input and output that lies as it is told to.
//
// Run in place of ssh (option ssh=PROGRAM): the host in the URL is how it misbehaves, see kLies in
// hostile_server_test.cc.  It has one directory, "/", with one file, "file", of kFakeFileBytes
// bytes of pattern(kFakeFileSeed).  NETFS_FAKE_SFTP_PIDS names a file to which it appends its pid.

#include "tests/origin-conformance/fake_sftp_server.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "tests/support/tree.h"

namespace netfs::test {
namespace {

void put_u32(std::string& out, uint64_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}
void put_u64(std::string& out, uint64_t value) {
  put_u32(out, value >> 32);
  put_u32(out, value & 0xffffffff);
}
void put_string(std::string& out, const std::string& text) {
  put_u32(out, text.size());
  out += text;
}
uint32_t get_u32(const std::string& in, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4 && at + i < in.size(); ++i) {
    value = value << 8 | static_cast<uint8_t>(in[at + i]);
  }
  return value;
}

void send_bytes(const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(1, bytes.data() + done, bytes.size() - done);
    if (n <= 0) std::exit(0);
    done += static_cast<size_t>(n);
  }
}

void send_packet(const std::string& payload) {
  std::string packet;
  put_u32(packet, payload.size());
  send_bytes(packet + payload);
}

bool receive(std::string& bytes, size_t count) {
  bytes.resize(count);
  size_t done = 0;
  while (done < count) {
    const ssize_t n = ::read(0, bytes.data() + done, count - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

[[noreturn]] void stall() {
  for (;;) ::pause();
}

// ssh must find its standard descriptors and nothing else.
void complain_of_inherited_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd > 2 && fd != ::dirfd(directory)) {
      std::cerr << "descriptor " << fd << " was inherited" << std::endl;
      std::exit(1);
    }
  }
  ::closedir(directory);
}

class Server {
 public:
  explicit Server(std::string lie) : lie_(std::move(lie)) {}

  void run() {
    if (lie_ == "fds") complain_of_inherited_descriptors();
    if (lie_ == "banner") send_bytes("Welcome to the machine room\n");
    if (lie_ == "silent-exit") return;
    if (lie_ == "stall-connect") stall();
    std::string length;
    std::string request;
    while (receive(length, 4) && receive(request, get_u32(length, 0))) answer(request);
  }

 private:
  bool lies(std::string_view lie) const { return lie_ == lie; }

  void answer(const std::string& request) {
    const auto type = static_cast<uint8_t>(request[0]);
    const uint32_t id = get_u32(request, 1);
    // Once there is somebody who waits: before that, nobody can be told.
    if (const auto again = std::exchange(again_, std::nullopt)) {
      send_data(again->id, again->offset, again->length);
    }
    switch (type) {
      case 1:
        return greet();
      case 3:
        return send_handle(id);
      case 4:
        return send_status(id, 0);
      case 5:
        return answer_read(request, id);
      case 7:
      case 8:
      case 17:
        return answer_stat(request, type, id);
      case 11:
        directory_read_ = false;
        return send_handle(id);
      case 12:
        return answer_readdir(id);
      case 16:
        return send_names(id, {"/"}, 1);
      case 200:
        return answer_limits(id);
      default:
        return send_status(id, 8);
    }
  }

  void greet() const {
    std::string payload(1, 2);
    put_u32(payload, lies("old-version") ? 2 : 3);
    put_string(payload, "limits@openssh.com");
    put_string(payload, "1");
    send_packet(payload);
    if (lies("garbage")) {
      std::string bytes;
      for (uint32_t i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 2654435761U >> 13);
      send_bytes(bytes);
    }
  }

  static void send_status(uint32_t id, uint32_t status) {
    std::string payload(1, 101);
    put_u32(payload, id);
    put_u32(payload, status);
    put_string(payload, "as you like it");
    put_string(payload, "en");
    send_packet(payload);
  }

  static void answer_limits(uint32_t id) {
    std::string payload(1, static_cast<char>(201));
    put_u32(payload, id);
    for (const uint64_t limit : {262'144, 261'120, 261'120, 1000}) put_u64(payload, limit);
    send_packet(payload);
  }

  void send_handle(uint32_t id) const {
    std::string payload(1, 102);
    put_u32(payload, id);
    put_string(payload, lies("huge-handle")    ? std::string(300, 'h')
                        : lies("empty-handle") ? std::string()
                                               : std::string("h"));
    send_packet(payload);
  }

  void put_attributes(std::string& payload, bool directory) const {
    put_u32(payload, 0x1 | 0x4 | 0x8);
    put_u64(payload, lies("size-lies") && !directory ? ~0ULL : directory ? 4096 : kFakeFileBytes);
    put_u32(payload, directory ? S_IFDIR | 0755U : S_IFREG | 0644U);
    put_u32(payload, 1'600'000'000);
    put_u32(payload, 1'600'000'000);
  }

  void answer_stat(const std::string& request, uint8_t type, uint32_t id) const {
    const bool directory = type != 8 && request.substr(9) == "/";
    if (lies("data-to-stat") && !directory) {
      std::string data(1, 103);
      put_u32(data, id);
      put_u32(data, 0);
      return send_packet(data);
    }
    std::string payload(1, 105);
    put_u32(payload, id);
    put_attributes(payload, directory);
    if (lies("cut-attributes") && !directory) payload.resize(payload.size() - 6);
    send_packet(payload);
  }

  void send_names(uint32_t id, const std::vector<std::string>& names, uint64_t count) const {
    std::string payload(1, 104);
    put_u32(payload, id);
    put_u32(payload, count);
    for (const std::string& name : names) {
      put_string(payload, name);
      put_string(payload, "a long name");
      put_attributes(payload, name != "file");
    }
    send_packet(payload);
  }

  // The first of several connections ends behind half of the names, when somebody has seen some;
  // the others list them backwards.
  void answer_readdir_or_die(uint32_t id) {
    const char* mark = std::getenv(kFakeMark);
    if (names_sent_ == 0 && mark != nullptr) {
      const int made = ::open(mark, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
      is_first_ = made >= 0;
      if (is_first_) ::close(made);
    }
    if (is_first_ && names_sent_ == kFakeNames / 2) {
      // Once some were handed on: else it would be as if this connection had never been.
      const std::string seen = std::string(mark) + kFakeSeen;
      for (int i = 0; i < 30'000 && ::access(seen.c_str(), F_OK) != 0; ++i) ::usleep(1000);
      std::exit(0);
    }
    if (names_sent_ == kFakeNames) return send_status(id, 1);
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i, ++names_sent_) {
      names.push_back("n" + std::to_string(is_first_ ? names_sent_ : kFakeNames - 1 - names_sent_));
    }
    send_names(id, names, names.size());
  }

  void answer_readdir(uint32_t id) {
    if (lies("dies-in-listing")) return answer_readdir_or_die(id);
    if (lies("endless-directory")) {
      std::vector<std::string> names;
      for (int i = 0; i < 100; ++i) names.push_back("n" + std::to_string(names_sent_++));
      return send_names(id, names, names.size());
    }
    if (lies("nameless-directory")) return send_names(id, {}, 0);
    if (directory_read_) return send_status(id, 1);
    directory_read_ = true;
    if (lies("name-count-lies")) return send_names(id, {"file"}, 1'000'000'000);
    if (lies("bad-names")) {
      const std::vector<std::string> names = {
          "", ".", "..", "a/b", "../../etc/passwd", "nul", "file", std::string("x\0y", 3)};
      return send_names(id, names, names.size());
    }
    send_names(id, {".", "..", "file"}, 3);
  }

  void answer_read(const std::string& request, uint32_t id) {
    const size_t after_handle = 9 + get_u32(request, 5);
    const uint64_t offset =
        uint64_t{get_u32(request, after_handle)} << 32 | get_u32(request, after_handle + 4);
    const uint64_t wanted = get_u32(request, after_handle + 8);
    ++reads_;
    if (lies("stall") || (lies("stall-one") && reads_ == 3))
      return lies("stall") ? stall() : void();
    if (lies("dies") && reads_ == 4) std::exit(0);
    if (lies("unknown-id")) return send_status(id + 1000, 1);
    if (lies("huge-packet")) return send_bytes(std::string("\x7f\xff\xff\xff", 4));
    if (lies("zero-packet")) return send_bytes(std::string(4, '\0'));
    if (lies("read-fails")) return send_status(id, 4);
    if (lies("status-ok")) return send_status(id, 0);
    const uint64_t end = lies("early-end") ? kFakeFileBytes / 2 : kFakeFileBytes;
    if (offset >= end) return send_status(id, 1);
    uint64_t length = std::min(wanted, end - offset);
    if (lies("one-byte")) length = 1;
    if (lies("short-reads")) length = std::min<uint64_t>(length, 10'007);
    if (lies("zero-data")) length = 0;
    if (lies("data-too-long")) length = wanted + 1;
    send_data(id, offset, length);
    if (lies("twice")) again_ = {{id, offset, length}};
  }

  void send_data(uint32_t id, uint64_t offset, uint64_t length) const {
    std::string payload(1, 103);
    put_u32(payload, id);
    put_u32(payload, lies("data-length-lies")   ? length + 100
                     : lies("data-count-short") ? length / 2
                                                : length);
    payload += pattern(kFakeFileSeed, offset, length);
    if (!lies("cut-in-data") && !lies("stall-in-data")) return send_packet(payload);
    std::string packet;
    put_u32(packet, payload.size());
    packet += payload;
    send_bytes(packet.substr(0, packet.size() / 2));
    if (lies("stall-in-data")) stall();
    std::exit(0);
  }

  const std::string lie_;
  unsigned reads_ = 0;
  int names_sent_ = 0;
  bool directory_read_ = false;
  bool is_first_ = false;
  struct Sent {
    uint32_t id;
    uint64_t offset;
    uint64_t length;
  };
  std::optional<Sent> again_;
};

}  // namespace
}  // namespace netfs::test

int main(int argc, char** argv) {
  std::string lie;
  for (int i = 1; i < argc; ++i) {
    // "ssh -G": it has no configuration to tell.
    if (std::strcmp(argv[i], "-G") == 0) return 1;
    if (std::strcmp(argv[i], "--") == 0 && i + 1 < argc) lie = argv[i + 1];
  }
  if (const char* pids = std::getenv("NETFS_FAKE_SFTP_PIDS")) {
    std::ofstream(pids, std::ios::app) << ::getpid() << std::endl;
  }
  netfs::test::Server(lie).run();
  return 0;
}
