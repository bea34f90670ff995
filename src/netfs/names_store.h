#pragma once
// NamesStore: the listings of a tree's directories in the cache, for a process that comes after
// this one.
//
// Each is an object of its own in the volume, as a version of a file is: checked page by page,
// counted, culled by its last use, dropped with its path.  save() obeys the founding rule: it
// leaves the bytes to the offload and returns.  load() is the reader's door: it may wait for reads
// of the disk, never for a writer.  What is damaged, dropped on its way or not there is nothing.
//
// Thread-safe.  Volume, offload and pool outlive it.
//
//   names.save("dir", encoder.finish(took));
//   const std::string bytes = TRY(names.load("dir"));
//   NamesDecoder::open(bytes, "dir");

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>

#include "netfs/buffer.h"
#include "netfs/cache.h"
#include "netfs/held_names.h"
#include "netfs/names_record.h"
#include "netfs/offload.h"

namespace netfs {

// Records held for looks at single names: of some 450,000 names.
inline constexpr size_t kHeldNamesBytesMax = size_t{64} << 20;

class NamesStore {
 public:
  struct Parts {
    Ref<Volume> volume;
    Offload& offload;
    BufferPool& pool;
    std::string boot;  // names this start of the machine; empty: unknown
  };

  explicit NamesStore(Parts parts) : parts_(std::move(parts)) {}

  // Whether there is room to spare for what nobody asks for.
  [[nodiscard]] bool has_room() const { return parts_.volume->has_room(); }
  // What is stored for it, or null: there is no room.
  Ref<Cookie> save(const std::string& path, std::string_view bytes);
  // After all saves before it.
  void discard(Ref<Cookie> saved) { parts_.offload.discard(std::move(saved)); }
  // What is stored of a directory goes, and what is on its way: something later was seen of it that
  // is not stored.
  void forget(const std::string& path);
  // ENOENT where there is none, EFBIG where it is larger.
  [[nodiscard]] Result<std::string> load(const std::string& path,
                                         size_t bytes_max = kNamesBytesMax);

  // The same for who wants one name of it, or null: the last few are held.
  [[nodiscard]] Ref<HeldNames> find(const std::string& path);

  [[nodiscard]] const std::string& boot() const { return parts_.boot; }
  // Of records that wait to be saved: for who makes them.
  std::atomic<size_t> waiting_bytes{0};

 private:
  [[nodiscard]] Result<std::string> read(const CookieKey& key);

  const Parts parts_;
  HeldRecords held_{kHeldNamesBytesMax};
};

// What tells this start of the machine from others, as Linux has it; empty where it does not.
[[nodiscard]] std::string this_boot();

}  // namespace netfs
