#pragma once
// FilesAhead: which files are fetched before anybody opens them, and what became of those.
//
// Whoever reads files in order (reading_order.h) finds the next ones under way: 2 at first, twice
// as many with each that he opens, within what the link holds, kAheadFilesMax files and
// kAheadFilesBytesMax bytes; small ones whole, of others the beginning.  Bytes land where those of
// any read do.
//
// What an open promises stays as it is.  A file counts as seen when its name was looked at, not
// when it was fetched: whoever opens it once its TTL is over asks the origin, and gets another
// node, with another file, if that has changed.  Within the TTL he gets the version that was seen,
// as he would from the cache; the fetch gives up a version that the origin does not have any more,
// and the open asks then.  Versions that could hide a change are not fetched (File::fetch_unasked),
// nor is anything that was changed here and not seen since.
//
// All of it under the inode table's lock.

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vfs/inode_table.h"
#include "vfs/reading_order.h"

namespace netfs::vfs {

class FilesAhead {
 public:
  // `wanted`: the origin has room for it.
  FilesAhead(bool wanted, const Options& options, Counters& counters, const Clock& clock)
      : wanted_(wanted), options_(options), counters_(counters), clock_(clock) {}

  struct Wanted {
    fuse::NodeId file;
    uint64_t bytes_max;
  };
  struct Plan {
    uint64_t bytes_max = 0;  // as of now, for all that is fetched and not read
    bool noted = false;      // the open itself: once
    std::vector<Wanted> files;
    std::vector<fuse::NodeId> directories;  // to be listed, for his next files lie there
  };
  // How many bytes may be fetched and not read yet.
  static uint64_t bytes_max(const Library& library);
  // Somebody opens the file: adds to the plan what is to be fetched now.  Null when that is done;
  // else a listing whose order is wanted first, and then it is called again.
  Ref<Listing> opened(InodeTable& table, fuse::NodeId file, Plan& plan) REQUIRES(table.mutex);
  // Whether opened() is to be told of this one: not where the origin is near.
  [[nodiscard]] bool watches(const Node& file) const;
  // What came of one that was wanted: so many bytes are under way; nothing: not now.
  void fetched(fuse::NodeId file, std::optional<uint64_t> bytes);
  // Somebody reads the file.
  void asked(fuse::NodeId file) {
    if (!claims_.empty()) settle(file.value, true);
  }
  // What nobody asked for in time is wasted.
  void expire();

 private:
  // A file that is being fetched, or was and nobody has read it.
  struct Claim {
    uint64_t expected_bytes = 0;
    std::optional<uint64_t> bytes;  // once it is known what was fetched
    bool asked = false;             // before that
    MonoTime since{};
  };
  struct Reader {
    fuse::NodeId directory;
    uint64_t serial = 0;  // of its listing, once its order was needed
    std::string last;     // the file opened last
    FileRun run;
    uint64_t used = 0;
    // How far is planned: the next place, and how many files lie before it that he has not opened.
    fuse::NodeId ahead_directory;
    uint64_t ahead_serial = 0;
    size_t ahead_place = 0;
    size_t ahead_count = 0;
    bool looks_on = false;  // it is to be seen to that the directories after it are listed
  };

  // True when done; else the order of `missing_` is wanted.
  bool note(InodeTable& table, const Node& file, Node& directory) REQUIRES(table.mutex);
  bool note_here(Reader& reader, const Node& file, const Node& directory);
  bool note_there(InodeTable& table, const Node& file, Node& directory) REQUIRES(table.mutex);
  bool fetch_on(InodeTable& table, Reader& reader, Plan& plan) REQUIRES(table.mutex);
  const FileOrder* order_of(const Node& directory);
  Reader* reader_of(fuse::NodeId directory);
  Reader& new_reader(fuse::NodeId directory);
  // The next directory that a run may go on to, or null.
  static Node* next_directory(InodeTable& table, const Node& directory, OrderBy by)
      REQUIRES(table.mutex);
  void list_on(InodeTable& table, const Reader& reader, Plan& plan) REQUIRES(table.mutex);
  void want(InodeTable& table, Node& directory, const Listing::Entry& entry, Plan& plan)
      REQUIRES(table.mutex);
  [[nodiscard]] bool is_listed(const Node& directory) const;
  [[nodiscard]] bool is_fetchable(const Node& file) const;
  [[nodiscard]] bool has_room(const Plan& plan) const;
  [[nodiscard]] bool is_fresh(MonoTime seen) const;
  void settle(uint64_t file, bool used);

  const bool wanted_;
  const Options& options_;
  Counters& counters_;
  const Clock& clock_;
  std::vector<Reader> readers_;
  uint64_t uses_ = 0;
  Ref<Listing> missing_;
  std::unordered_map<uint64_t, Claim> claims_;        // by nodeid
  std::deque<std::pair<MonoTime, uint64_t>> by_age_;  // of those, and of some settled ones
  uint64_t bytes_ = 0;                                // of all claims
  unsigned vain_ = 0;                                 // in a row: nothing of them was missing
};

}  // namespace netfs::vfs
