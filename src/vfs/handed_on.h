#pragma once
// What the steps of an operation that changes something hand on to each other.  Plain values.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_function.h"
#include "fuse/encode.h"
#include "fuse/wire.h"
#include "netfs/names_record.h"
#include "netfs/writable_file.h"
#include "vfs/inode_table.h"
#include "vfs/options.h"

namespace netfs::vfs {

// A name in a directory.
struct Place {
  fuse::NodeId parent;
  std::string name;
  std::string path;
};

// A name, to be looked at at the origin.
struct Name {
  fuse::NodeId parent;
  std::string name;  // "" is the root, and parent the root too
  std::string path;
};

// How to look at it; kCheapest: refresh_cheaply.
enum class Look : uint8_t { kAtTheName, kCheapest };

// Whether names that were seen too long ago will do: not, or for want of others, or until they were
// looked at.
enum class Old : uint8_t { kRefused, kTaken, kShown };

// For whom a directory is listed: somebody who waits, nobody yet, or nobody any more, who was shown
// what was known.
enum class Asker : uint8_t { kSomebody, kNobody, kServed };

// A directory's listing and its names are shown for kStaleGrace, however old: revalidate.cc.
void show_a_moment_more(Directory& directory, const Options& options, MonoTime now);

// What a listing came to, and who wants to know.
using Listed = Result<Ref<Listing>>;
using ThenListed = UniqueFunction<void(const Listed&)>;

// A listing while it comes in, from the origin or from the cache.
struct Intake {
  Ref<Listing> listing;
  MonoTime began{};                   // it tells of nothing after that
  std::optional<MonoTime> counts_as;  // from the cache: when its names are to count as seen
  Asker asker = Asker::kSomebody;
  std::vector<StoredName> batch;
  std::vector<std::string> left_over;    // hidden names of a process before this one
  std::optional<NamesEncoder> encoder;   // what is to be stored of it
  bool lacks_targets = false;            // of links, that is
  uint64_t changes_before = 0;           // of names here, when it began
  std::optional<uint64_t> swept_before;  // of its names
  Graveyard graveyard{};
};

// How far an open is.
enum class Prepared : uint8_t {
  kNothing,  // nobody prepared this open yet
  kDaemon,   // its reads will come to us
  kHandOut,  // the kernel has been given the file, and one use of its id is held meanwhile
};

struct OpenAnswer {
  int error = 0;
  bool later = false;  // a worker must prepare it
  fuse::Opened opened;
};

// What a directory is like since a name was made in it, if the origin told.
struct DirectoryAfter {
  std::optional<NodeInfo> info;
  uint64_t began_in = 0;  // the table's serial number when it was asked
};

// How to open for writing.
struct OpenHow {
  uint32_t flags = 0;         // O_*
  bool kill_set_ids = false;  // if they truncate the file
  uint64_t unique = 0;        // of the request
};

// What a part of a write comes to.
enum class Shortfall : uint8_t { kIsTold, kIsAnError };

// A handle that is open for writing.
struct LiveHandle {
  fuse::NodeId node;
  Ref<WritableFile> file;
};

// One WRITE.
struct Writing {
  fuse::NodeId node;
  Ref<WritableFile> file;
  ByteRange range;
  WritePieces pieces = WritePieces::kTogether;
  Shortfall shortfall = Shortfall::kIsTold;
  bool durable = false;  // before it is answered: O_SYNC, O_DSYNC
};

// A file that was made, and is open.
struct Created {
  fuse::Entry entry;
  fuse::Opened opened;
};

// What a READ reads.
struct ReadPlace {
  fuse::NodeId node;
  fuse::HandleId handle;  // 0: read without an open
  Ref<File> file;         // null: not ready
  Ref<SharedStream> stream;
  bool begins = false;       // the first read of who did not open it, if reading in turn is watched
  int attempt = 0;           // how often its file went away under it
  bool tried_again = false;  // the same version
  uint64_t began = 0;        // by name_changes_, this attempt
  MonoTime until{};
};

// When a look at the origin began, by the table's serial number, and how long it took.
struct Asked {
  uint64_t began_in = 0;
  Duration took{};
};

// What is known of a file before the origin is asked of it by its path.
struct KnownVersion {
  Validator validator;
  uint64_t keeps = 0;  // of what is seen of it from now on: Witnessed
};

// What becomes of a name that a file loses.
enum class Losing : uint8_t { kForGood, kToAnother };

// An open file whose name goes.
struct Kept {
  std::string path;     // the hidden one it has, or gets; empty: it lives on by its handle
  bool linked = false;  // one more name so far
  // By the change itself: OriginWriter::replace().
  bool by_replacing = false;
  // By another of its names, which is known here: it opens by that from now on.
  bool by_other_name = false;
};

}  // namespace netfs::vfs
