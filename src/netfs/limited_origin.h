#pragma once
// LimitedOrigin: puts a limit on the bandwidth that an origin may take, in front of it.
//
// Bytes of files count, as they are read and written, each direction for itself; names, attributes
// and what is copied at the origin do not.  Reads and writes that are longer than a quarter of a
// second go in pieces of that length (kPieceMin at least), those of different files in turn, so
// that who waits for little does not wait for all that is long; what nobody waits for yields.  The
// time that a piece waits here is not the origin's: its deadline counts from when it goes, and the
// subrequest is told (time_moved).  What was asked and did not come does not count.
//
// Thread-safe; limit() may be called at any time and counts at once.  The inner origin outlives it.
//
//   LimitedOrigin limited(*origin);
//   limited.limit({.up = 1 << 20});   // 1 MiB/s to the origin, as much as there is from it

#include <memory>
#include <string>

#include "netfs/origin.h"
#include "netfs/pace.h"

namespace netfs {

// Bytes a second; 0: no limit.
struct Bandwidth {
  uint64_t up = 0;    // to the origin
  uint64_t down = 0;  // from it
  friend bool operator==(const Bandwidth&, const Bandwidth&) = default;
};

class LimitedWriter;

class LimitedOrigin final : public Origin {
 public:
  explicit LimitedOrigin(Origin& inner);
  ~LimitedOrigin() override;

  void limit(const Bandwidth& bandwidth);
  [[nodiscard]] Bandwidth limit() const;

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_.capabilities();
  }
  [[nodiscard]] unsigned listings_ahead() const override { return inner_.listings_ahead(); }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override {
    return inner_.stat(path, deadline);
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    return inner_.list(path, deadline, sink);
  }
  Result<std::string> read_link(const std::string& path, Deadline deadline) override {
    return inner_.read_link(path, deadline);
  }
  Result<FileSystemStats> stat_file_system(Deadline deadline) override {
    return inner_.stat_file_system(deadline);
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override {
    return inner_.open(path, deadline);
  }
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override {
    return inner_.open_by_read(path);
  }
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override;
  [[nodiscard]] OriginLocks* locks() override { return inner_.locks(); }
  [[nodiscard]] StatusFields status() const override { return inner_.status(); }

  static constexpr uint64_t kPieceMin = uint64_t{16} << 10;

 private:
  class Read;

  Origin& inner_;
  std::unique_ptr<LimitedWriter> writer_;  // null where the inner origin has none
  Pace down_{"netfs-pace-down"};
};

// The first piece of `range` under so many bytes a second: it ends with a page of the file.
ByteRange paced_piece(ByteRange range, uint64_t bytes_per_second);

// How much time a piece has when it goes, of a call that has until `deadline`.
class PieceTime {
 public:
  explicit PieceTime(Deadline deadline);
  [[nodiscard]] Deadline from_now() const;

 private:
  Duration time_;
};

}  // namespace netfs
