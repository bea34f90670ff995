#pragma once
// FakeNfsServer: an NFS server, version 3, and its mount service in this process, that lies as a
// test wants it to.
//
// It has one directory and remembers names, kinds, sizes and create verifiers, no bytes.  A script
// sees each call first, and may have something else said.  Thread-safe; the destructor ends all
// connections.
//
//   FakeNfsServer server([](const NfsCall& call) -> std::optional<NfsAnswer> {
//     if (call.is(kNfsLookup)) return NfsAnswer::refused();
//     return std::nullopt;
//   });

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::test {

inline constinit sync::LockClass kFakeNfsLock{"test.fake_nfs"};

inline constexpr uint32_t kNfsProgram = 100003;
inline constexpr uint32_t kNfsMountProgram = 100005;
inline constexpr uint32_t kMountMnt = 1;

// Procedures.
inline constexpr uint32_t kNfsGetattr = 1;
inline constexpr uint32_t kNfsSetattr = 2;
inline constexpr uint32_t kNfsLookup = 3;
inline constexpr uint32_t kNfsRead = 6;
inline constexpr uint32_t kNfsWrite = 7;
inline constexpr uint32_t kNfsCreate = 8;
inline constexpr uint32_t kNfsMkdir = 9;
inline constexpr uint32_t kNfsRemove = 12;
inline constexpr uint32_t kNfsRename = 14;
inline constexpr uint32_t kNfsReaddir = 16;
inline constexpr uint32_t kNfsReaddirplus = 17;
inline constexpr uint32_t kNfsCommit = 21;

// Statuses.
inline constexpr uint32_t kNfsPerm = 1;
inline constexpr uint32_t kNfsNoEntry = 2;
inline constexpr uint32_t kNfsAccess = 13;
inline constexpr uint32_t kNfsExists = 17;
inline constexpr uint32_t kNfsNoSpace = 28;
inline constexpr uint32_t kNfsReadOnly = 30;
inline constexpr uint32_t kNfsStale = 70;
inline constexpr uint32_t kNfsNotSupported = 10004;
inline constexpr uint32_t kNfsLater = 10008;

// XDR as it is sent.
class Xdr {
 public:
  Xdr& u32(uint32_t value);
  Xdr& u64(uint64_t value);
  Xdr& opaque(const std::string& bytes);
  Xdr& raw(const std::string& bytes);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// What a call brought, from its front; zeros and nothing beyond its end.
class XdrReader {
 public:
  explicit XdrReader(const std::string& bytes) : bytes_(bytes) {}
  uint32_t u32() {
    uint32_t value = 0;
    for (const char byte : raw(4)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  uint64_t u64() {
    const uint64_t high = u32();
    return high << 32 | u32();
  }
  std::string raw(size_t length) {
    const std::string taken = bytes_.substr(std::min(at_, bytes_.size()), length);
    at_ += length;
    return taken;
  }
  std::string opaque() {
    const uint32_t length = u32();
    std::string taken = raw(length);
    at_ += (4 - length % 4) % 4;
    return taken;
  }
  [[nodiscard]] std::string rest() const { return bytes_.substr(std::min(at_, bytes_.size())); }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
};

struct NfsCall {
  uint32_t program = 0;
  uint32_t procedure = 0;
  std::string arguments;
  unsigned number = 0;     // how many of this procedure came before
  std::string name;        // that it names in a directory; empty: none
  bool exclusive = false;  // of CREATE
  std::string handle;      // that it is about
  uint64_t offset = 0;     // of WRITE
  bool resizes = false;    // of SETATTR

  [[nodiscard]] bool is(uint32_t nfs_procedure) const {
    return program == kNfsProgram && procedure == nfs_procedure;
  }
};

struct NfsAnswer {
  enum class How : uint8_t { kSay, kRefuse, kHangUp, kDoAndHangUp, kSilence, kDoAndSilence };
  How how = How::kSay;
  std::string body;

  static NfsAnswer say(const Xdr& body) { return {How::kSay, body.bytes()}; }
  static NfsAnswer refused() { return {How::kRefuse, {}}; }  // "garbage arguments"
  static NfsAnswer hang_up() { return {How::kHangUp, {}}; }
  static NfsAnswer do_and_hang_up() { return {How::kDoAndHangUp, {}}; }
  static NfsAnswer silence() { return {How::kSilence, {}}; }
  static NfsAnswer do_and_silence() { return {How::kDoAndSilence, {}}; }
  static NfsAnswer status(uint32_t status, unsigned absent = 2);  // and what follows is absent
};

class FakeNfsServer {
 public:
  using Script = std::function<std::optional<NfsAnswer>(const NfsCall&)>;

  struct Node {
    uint64_t fileid = 0;
    bool directory = false;
    uint64_t size = 0;
    uint32_t mode = 0644;
    std::string verifier;  // that it was created with
  };

  explicit FakeNfsServer(Script script = {});
  ~FakeNfsServer();
  FakeNfsServer(const FakeNfsServer&) = delete;
  FakeNfsServer& operator=(const FakeNfsServer&) = delete;

  [[nodiscard]] std::string url(const std::string& more = "") const;
  [[nodiscard]] unsigned calls(uint32_t nfs_procedure) const EXCLUDES(mutex_);
  [[nodiscard]] unsigned connections() const EXCLUDES(mutex_);

  // As another client has it.
  uint64_t put(const std::string& name, bool directory = false) EXCLUDES(mutex_);
  void remove(const std::string& name) EXCLUDES(mutex_);
  [[nodiscard]] std::optional<Node> find(const std::string& name) const EXCLUDES(mutex_);
  // Nothing that comes on the connections that there are is heard any more, nor acknowledged: as if
  // their host had gone.  New ones are served.
  void go_deaf() EXCLUDES(mutex_);

  static std::string handle_of(uint64_t fileid);
  static std::string attributes_of(const Node& node);

 private:
  void accept_loop() EXCLUDES(mutex_);
  void serve(int fd) EXCLUDES(mutex_);
  // False: the connection is to end.
  bool answer(int fd, const std::string& message) EXCLUDES(mutex_);
  std::string carry_out(const NfsCall& call) EXCLUDES(mutex_);
  std::string carry_out_locked(const NfsCall& call) REQUIRES(mutex_);
  static void set_attributes(Node& node, const std::string& wanted);
  std::string create_locked(const NfsCall& call) REQUIRES(mutex_);
  std::string rename_locked(const NfsCall& call) REQUIRES(mutex_);
  std::string list_locked(bool with_attributes) REQUIRES(mutex_);
  Node* of_handle_locked(const std::string& handle) REQUIRES(mutex_);

  const Script script_;
  UniqueFd listener_;
  unsigned port_ = 0;
  mutable sync::Mutex mutex_{kFakeNfsLock};
  bool stopping_ GUARDED_BY(mutex_) = false;
  Node root_ GUARDED_BY(mutex_){.fileid = 1, .directory = true, .mode = 0755};
  uint64_t next_fileid_ GUARDED_BY(mutex_) = 10;
  std::map<std::string, Node> names_ GUARDED_BY(mutex_);
  std::map<std::pair<uint32_t, uint32_t>, unsigned> calls_ GUARDED_BY(mutex_);
  std::vector<int> open_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<sync::Thread>> threads_ GUARDED_BY(mutex_);
  sync::Thread accepter_;
};

}  // namespace netfs::test
