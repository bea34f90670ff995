#pragma once
// Stream: reads of one file from a server without ranges: the file is downloaded from its start,
// once, and each read takes its bytes as they come by.
//
// Reads ahead of the stream wait for it; while nobody waits it stands still (the connection is
// paused, not ended), so a file that is read in order is downloaded once however small the reads
// are; what came last is kept for reads that come a little late.  A read behind it waits for the
// next pass, which begins when those under way are done: passes alternate like an elevator's,
// nobody waits for ever.  What lies more than kSkipBytesMax beyond all that was ever read of this
// version is refused (EOPNOTSUPP, with a sentence): to skip that much for one read helps nobody; so
// is what would have the file sent from its start over and over for a few bytes each time.
//
// The head of the download names the version, and the bytes come long after it: those that it does
// not speak for any more are told to be confirmed first.
//
// The engine's thread only.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "netfs/subrequest.h"
#include "origins/http/read_answer.h"
#include "origins/http/stream_record.h"

namespace netfs::origins::http {

inline constexpr uint64_t kSkipBytesMax = uint64_t{256} << 20;

class Stream : public RefCounted<Stream> {
 public:
  Stream(ReadSide& side, ReadSource source);
  ~Stream();

  // Neither from within libcurl.
  void add(Subrequest& subrequest);
  // Nobody reads any more.
  void close();
  // Its download may begin.
  void turn_came();
  void drop_download();

  // Whether a read there needs no download of its own.
  [[nodiscard]] bool comes_by(uint64_t offset) const;
  // Of the next byte that comes.
  [[nodiscard]] uint64_t position_byte() const { return position_; }
  // Somebody does, or did a moment ago.
  [[nodiscard]] bool is_read() const;
  // Absent while somebody reads, or waits to.
  [[nodiscard]] std::optional<MonoTime> idle_since() const;

 private:
  class Download;
  struct Reader {
    Subrequest* subrequest;
    uint64_t got_bytes = 0;

    [[nodiscard]] uint64_t next_byte() const {
      return subrequest->range().offset_bytes + got_bytes;
    }
  };

  // What a download tells.
  Result<void> head_came(const ResponseHead& head);
  Result<bool> bytes_came(std::span<const std::byte> bytes);  // false: not now
  void download_ended(const Result<void>& result);

  void begin_pass();
  // Gives the reader what of [begin, begin + bytes) is its; whether it has all.
  bool serve(Reader& reader, uint64_t begin, std::span<const std::byte> bytes);
  void end_reader(const Reader& reader, const Result<void>& result) const;
  [[nodiscard]] bool head_speaks() const;
  [[nodiscard]] bool refused(Subrequest& subrequest, bool new_pass) const;
  void check_deadlines();
  void watch();
  [[nodiscard]] uint64_t size_bytes() const { return source_.edition.size_bytes; }

  ReadSide& side_;
  const ReadSource source_;
  const Ref<StreamRecord> record_;
  Ref<Download> download_;
  ReadAnswer answer_;
  std::vector<Reader> readers_;     // of this pass
  std::vector<Subrequest*> later_;  // of the next
  uint64_t position_ = 0;           // of the next byte that comes
  std::vector<std::byte> window_;   // the bytes before it: reads may come a little out of order
  bool paused_ = false;
  bool stood_still_ = false;  // once or more, in this pass
  MonoTime head_came_at_;
  bool complete_ = false;  // the file has come whole; its end is in the window, for a while
  bool watched_ = false;
  MonoTime idle_since_;
  std::optional<MonoTime> served_at_;
};

}  // namespace netfs::origins::http
