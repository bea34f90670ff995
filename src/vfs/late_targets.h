#pragma once
// LateTargets: targets of links that are read once their directory was left to the cache, as most
// are: who goes through a tree lists first.  Such a directory is stored once more, with them.
//
// What is stored is the same record, and says the same of when its names were seen and of which
// directory; a target joins the version that was listed, as far as was seen, or none.  Stored a
// moment after the first of them was read, then at most every kNamesResave, and where the mount
// ends; who answers a READLINK only notes it.  The record is the cache's; at the end of the mount
// one that may be on its way there is taken from memory.
//
// Thread-safe.  Its directories are the table's.
//
//   late_targets_->add(directory);   // once kept.learnt is set

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "sync/mutex.h"
#include "vfs/file_system.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class FileSystem::LateTargets {
 public:
  explicit LateTargets(FileSystem& of) : of_(of) {}

  // A record that is left to the cache: targets may be learnt before it is there.
  void hold(fuse::NodeId directory, const Intake& intake, const std::string& bytes);
  // A directory of which a target was learnt.
  void add(fuse::NodeId directory) EXCLUDES(mutex_);
  // What was learnt is left to the cache, as far as that can be done in the timeout, once those
  // records are there that are on their way to it (as long again at most).  Before the
  // queue ends on which that is done, and once nobody learns any more.
  void stop();

 private:
  struct Claimed {
    std::string path;
    uint32_t crc = 0;        // of what is stored
    uint32_t saves = 0;      // how often that was done
    Ref<HeldRecord> record;  // or null: the cache has it
  };
  Ref<HeldRecord> copy_of(const std::string& bytes);
  enum class Next : uint8_t { kNothing, kLater, kStore };

  void store_all() EXCLUDES(mutex_);
  bool store_one(fuse::NodeId id, bool has_room);
  Next claim(fuse::NodeId id, bool has_room, Claimed& claimed);
  bool store(fuse::NodeId id, const Claimed& claimed);
  std::optional<std::string> target_of(fuse::NodeId directory, const OriginEntry& link);
  bool is_wanted(fuse::NodeId id, const Claimed& claimed);

  FileSystem& of_;
  std::atomic<size_t> held_bytes_{0};
  sync::Mutex mutex_{kLateTargetsLock};
  std::set<uint64_t> directories_ GUARDED_BY(mutex_);  // by their nodeids
  bool is_due_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::vfs
