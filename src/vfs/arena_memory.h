#pragma once
// ArenaMemory: the memory of a mount's arenas, in a file without a name (memfd), so that it
// outlives this process where somebody else holds that file: what the kernel knows of us, and will
// not say twice, is found there by the process that serves the mount on.
//
// A header, and chunks of one size, each of one kind: an arena is all chunks of its kind, in the
// order in which they came.  It grows as they do and never shrinks.  What a killed process had half
// written of a record is its arena's matter; a chunk counts once the header says so.
//
// Thread-safe; a leaf.  What lies in the chunks is guarded by who uses them.
//
//   const Ref<ArenaMemory> memory = TRY(ArenaMemory::create(kArenaForm));
//   ... hand memory->fd() to whoever keeps it; a later process:
//   const Ref<ArenaMemory> memory = TRY(ArenaMemory::adopt(std::move(fd), kArenaForm));

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "sync/mutex.h"
#include "vfs/arena_form.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class ArenaMemory : public RefCounted<ArenaMemory> {
 public:
  static constexpr size_t kChunkBytes = size_t{256} << 10;
  static constexpr size_t kChunksMax = 65'536;  // 16 GiB
  static constexpr uint8_t kNoKind = 0;

  // ENOMEM, EMFILE.  Of each kind that is an addition there is a chunk from the beginning.
  static Result<Ref<ArenaMemory>> create(const ArenaForm& form);
  // As another process left it, which from now on is of that form.  EPROTO, with a sentence: it is
  // of another layout, or damaged.
  static Result<Ref<ArenaMemory>> adopt(UniqueFd fd, const ArenaForm& form);
  ~ArenaMemory();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // One more chunk of that kind, all zeroes; never fails: no memory ends the process, as for any
  // allocation.
  void* add_chunk(uint8_t kind) EXCLUDES(mutex_);
  // Those there are, in order.
  [[nodiscard]] std::vector<void*> chunks(uint8_t kind) const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t size_bytes() const EXCLUDES(mutex_);
  // It was another process's before.
  [[nodiscard]] bool adopted() const { return adopted_; }

 private:
  struct Header;
  explicit ArenaMemory(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> map_header();
  Result<void*> map_chunk(size_t index);
  // Its chunks are there.
  void take_form(const ArenaForm& form) EXCLUDES(mutex_);

  const UniqueFd fd_;
  Header* header_ = nullptr;
  bool adopted_ = false;
  mutable sync::Mutex mutex_{kArenaMemoryLock};
  std::vector<void*> chunks_ GUARDED_BY(mutex_);
};

}  // namespace netfs::vfs
