#pragma once
// SimulatedOrigin: a remote tree in memory, for tests; it misbehaves on request.
//
// Files are strings, or patterns of any size that take no memory (pattern_byte()).  Reads are
// answered by its own threads after `latency`, unless a test holds them back.  A fault function is
// asked before each read; what it returns is what happens to that read.  An open file goes on
// reading its node when the path is given another one (replace()), as on a Unix server, and sees
// the new bytes of a rewrite in place (write()).
//
// Thread-safe.  The destructor terminates with ECANCELED what was left hanging.
//
//   SimulatedOrigin origin({});
//   origin.add_pattern("big", 1 << 30, 7);
//   origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
//     if (read.number == 3) return Fault{.kind = Fault::kError, .error = EIO};
//     return std::nullopt;
//   });

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs {

// Byte `offset` of a pattern file; no two blocks of it are alike.
constexpr std::byte pattern_byte(uint64_t seed, uint64_t offset) {
  uint64_t x = (offset >> 3) * 0x9E3779B97F4A7C15ULL + seed * 0xD1B54A32D192ED03ULL;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9ULL;
  return static_cast<std::byte>(x >> (8 * (offset & 7)));
}

// One read that is about to be answered.
struct SimulatedRead {
  uint64_t number = 0;  // 0, 1, ... since the origin was made
  std::string path;
  ByteRange range;
};

struct Fault {
  enum Kind {
    kError,         // `error`
    kShort,         // at most `bytes` bytes
    kOver,          // says it gave `bytes` more than asked
    kHang,          // is not answered until release_hung()
    kEndOfFile,     // at most `bytes` bytes, and says that the file ends there
    kOtherVersion,  // right bytes, another validator
    kGarbage,       // flipped bytes, and the validator of another version
  };
  Kind kind = kError;
  int error = EIO;
  uint64_t bytes = 0;
};

class SimulatedWriter;

class SimulatedOrigin final : public Origin {
 public:
  struct Options {
    OriginCapabilities capabilities{.files_ahead = true};
    unsigned threads = 2;
    Duration latency{};                      // of reads, opens and stats
    bool validator_after = true;             // outcomes carry it
    bool confirm_first = false;              // outcomes say so
    bool inline_answers = false;             // terminated() is called from within issue_read()
    uint64_t progress_bytes = 0;             // progress() after each so many bytes; 0: never
    std::optional<WriteCapabilities> write;  // it can be changed
  };
  struct Counts {
    uint64_t stats = 0;
    uint64_t lists = 0;
    uint64_t opens = 0;
    uint64_t reads = 0;
    uint64_t writes = 0;
    uint64_t syncs = 0;
    uint64_t read_bytes = 0;
    uint64_t overlapping_reads = 0;  // begun while another of the same bytes was in flight
    uint64_t past_end_reads = 0;     // began at or past the end of the file
  };

  explicit SimulatedOrigin(Options options);
  ~SimulatedOrigin() override;

  void add_directory(const std::string& path);
  // Parents are made as needed.  mtime: seconds since 1970.
  void add_file(const std::string& path, std::string content, int64_t mtime = kOldMtime);
  void add_pattern(const std::string& path, uint64_t size_bytes, uint64_t seed);
  void add_symlink(const std::string& path, std::string target);
  // New bytes in place: same identity, new validator, seen by open files.
  void write(const std::string& path, std::string content);
  // Another file under the path: open files keep the old one.
  void replace(const std::string& path, std::string content);
  void remove(const std::string& path);
  void set_attributes(const std::string& path, Attributes attributes);

  void set_fault(std::function<std::optional<Fault>(const SimulatedRead&)> fault);
  // The same for each write.
  void set_write_fault(std::function<std::optional<Fault>(const SimulatedRead&)> fault);
  // Called before each change that is made by a path, with it; without a lock.
  void set_before_change(std::function<void(const std::string& path)> before);
  // Waits until `count` writes hang; false at the deadline.  They end with ETIMEDOUT by
  // release_hung().
  bool wait_for_hung_writes(size_t count, Deadline deadline);
  [[nodiscard]] std::string content(const std::string& path) const;
  // Errors for metadata calls (stat, list, open, read_link); 0: none.
  void set_metadata_error(int error);
  // Reads issued from now on wait until release_reads(); then they are answered.
  void hold_reads();
  void release_reads();
  // Waits until `count` reads are held or hang; false at the deadline.
  bool wait_for_held(size_t count, Deadline deadline);
  void release_hung();
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] uint64_t open_files() const { return *open_files_; }
  // Of the last open and of the last read.
  [[nodiscard]] Deadline last_open_deadline() const;
  [[nodiscard]] Deadline last_read_deadline() const;

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return options_.capabilities;
  }
  [[nodiscard]] std::string volume_key() const override { return "simulated"; }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return writer_.get(); }

  static constexpr int64_t kOldMtime = 1'600'000'000;

 private:
  struct Node;
  struct Handle;
  struct Answer;
  friend class SimulatedWriter;

  NodeInfo info_of(const Node& node) const REQUIRES(mutex_);
  static Node& node_of(OriginFile& file);
  Result<void> metadata_call(uint64_t Counts::*counter) EXCLUDES(mutex_);
  // As the other open(), for reading or for writing.
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, int access, Deadline deadline);
  UniqueFd descriptor_locked(const std::shared_ptr<Node>& node, int access) REQUIRES(mutex_);
  Result<std::unique_ptr<OriginFile>> take_over(UniqueFd descriptor, NodeInfo& info);
  std::shared_ptr<Node> find_locked(const std::string& path) const REQUIRES(mutex_);
  void put_locked(const std::string& path, std::shared_ptr<Node> node) REQUIRES(mutex_);
  void put(const std::string& path, std::shared_ptr<Node> node) EXCLUDES(mutex_);
  void schedule(Subrequest& subrequest) EXCLUDES(mutex_);
  void answer(Subrequest& subrequest) EXCLUDES(mutex_);
  Answer prepare_locked(Subrequest& subrequest) REQUIRES(mutex_);

  const Options options_;
  mutable sync::Mutex mutex_;
  sync::CondVar changed_;
  std::map<std::string, std::shared_ptr<Node>> nodes_ GUARDED_BY(mutex_);
  std::map<uint64_t, std::shared_ptr<Node>> by_descriptor_ GUARDED_BY(mutex_);
  std::function<std::optional<Fault>(const SimulatedRead&)> fault_ GUARDED_BY(mutex_);
  std::vector<Subrequest*> held_ GUARDED_BY(mutex_);
  std::vector<Subrequest*> hung_ GUARDED_BY(mutex_);
  std::function<std::optional<Fault>(const SimulatedRead&)> write_fault_ GUARDED_BY(mutex_);
  std::function<void(const std::string&)> before_change_ GUARDED_BY(mutex_);
  std::vector<WriteSubrequest*> hung_writes_ GUARDED_BY(mutex_);
  std::multimap<const Node*, ByteRange> in_flight_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  Deadline last_open_deadline_ GUARDED_BY(mutex_);
  Deadline last_read_deadline_ GUARDED_BY(mutex_);
  uint64_t next_identity_ GUARDED_BY(mutex_) = 1;
  int metadata_error_ GUARDED_BY(mutex_) = 0;
  bool holding_ GUARDED_BY(mutex_) = false;
  const std::shared_ptr<std::atomic<uint64_t>> open_files_;  // handles may outlive us
  std::unique_ptr<OriginWriter> writer_;                     // null: it cannot be changed
  sync::WorkQueue workers_;
};

}  // namespace netfs
