#pragma once
// FakeHttpServer: a web server in this process that says what a test wants it to say.
//
// It serves one file, `file`, in each of its directories: /LIE/file is served with that lie, and
// /LIE/ is a listing that names it; fake_http_lies.cc has them.  What was asked is written down.
// Thread-safe; the destructor ends all connections.
//
//   FakeHttpServer server;
//   server.url("short-body")   // http://127.0.0.1:PORT/short-body/

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::test {

inline constexpr uint64_t kFakeHttpBytes = 1'000'003;
inline constexpr uint64_t kFakeHttpShortBytes = 300'000;  // of one that became shorter
inline constexpr uint64_t kFakeHttpSeed = 43;
inline constexpr uint64_t kFakeHttpOtherSeed = 44;  // of the version that comes later

inline constinit sync::LockClass kFakeHttpLock{"test.fake_http"};

struct FakeRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> fields;  // names in lower case
  unsigned number = 0;                        // how many came before for this path

  [[nodiscard]] std::string field(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  }
};

enum class Then : uint8_t { kGoOn, kClose, kStall };

// Bytes as they are sent.
struct FakeReply {
  std::string bytes;
  Then then = Then::kGoOn;
  unsigned repeats = 0;  // of `again`, behind `bytes`
  std::string again;
  // Where it is set, what each of them is when its turn comes; it may wait.
  std::string (*part)(unsigned number) = nullptr;
};

class FakeHttpServer {
 public:
  FakeHttpServer();
  ~FakeHttpServer();
  FakeHttpServer(const FakeHttpServer&) = delete;
  FakeHttpServer& operator=(const FakeHttpServer&) = delete;

  [[nodiscard]] std::string url(const std::string& lie) const;
  [[nodiscard]] unsigned port() const { return port_; }
  [[nodiscard]] std::vector<FakeRequest> requests() const EXCLUDES(mutex_);
  // That were ever made.
  [[nodiscard]] unsigned connections() const EXCLUDES(mutex_);
  // From now on each directory is served with that lie, whatever its name says.
  void act_as(const std::string& lie) EXCLUDES(mutex_);
  // Where lies that lead elsewhere lead.
  void set_elsewhere(const std::string& url) EXCLUDES(mutex_);

 private:
  void accept_loop() EXCLUDES(mutex_);
  void serve(int fd) EXCLUDES(mutex_);
  // False: the connection is to end.
  bool answer(int fd, const std::string& head) EXCLUDES(mutex_);

  UniqueFd listener_;
  unsigned port_ = 0;
  mutable sync::Mutex mutex_{kFakeHttpLock};
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::string elsewhere_ GUARDED_BY(mutex_);
  std::string acted_ GUARDED_BY(mutex_);  // empty: as the names of the directories say
  std::vector<FakeRequest> requests_ GUARDED_BY(mutex_);
  std::map<std::string, unsigned> asked_ GUARDED_BY(mutex_);
  std::vector<int> open_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<sync::Thread>> threads_ GUARDED_BY(mutex_);
  sync::Thread accepter_;
};

// fake_http_lies.cc
FakeReply lie(const FakeRequest& request, const std::string& elsewhere);

}  // namespace netfs::test
