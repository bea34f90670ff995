#pragma once
// ObjectTable: the objects in memory, found by version or by number, and the numbers of those on
// their way out.
//
// It holds a Ref of each.  Objects that nobody else holds stay, most recently looked up first, up
// to kIdleObjectsMax.
//
// An object that dies is *dying* from then until the index has forgotten it: a look-up that read
// its record meanwhile takes it for absent.  generation() moves with each end of dying, so that a
// look-up can tell that what it read is old.
//
// Thread-safe.  Its lock is for memory only; objects' locks may be taken under it.

#include <functional>
#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cachefiles/lock_classes.h"
#include "cachefiles/object.h"
#include "sync/mutex.h"

namespace netfs::cachefiles {

// A use that is newer than the index says.
struct Touch {
  std::string object_key;
  ObjectId object;
  int64_t recorded_seconds = 0;
  int64_t last_use_seconds = 0;
};

class ObjectTable {
 public:
  Ref<Object> find(const std::string& table_key);
  Ref<Object> find(ObjectId object);
  // All versions of a file that are in memory; `prefix` is Object::make_table_prefix()'s.
  std::vector<Ref<Object>> find_versions(const std::string& prefix);

  [[nodiscard]] uint64_t generation() const;
  // Enters `object`, unless another of the same version is there (that one is returned), or it is
  // dying or `generation` is not today's (null: look again).
  Ref<Object> enter(Ref<Object> object, uint64_t generation);

  // Takes a dead object out.
  void leave(Object& object);
  // Takes an object out that nobody holds and marks it dying; also one that is not in memory.
  // False when somebody holds it, or when it is dying already.
  bool begin_cull(ObjectId object, Ref<Object>* taken);
  void begin_dying(ObjectId object);
  void end_dying(const std::vector<ObjectId>& objects);
  [[nodiscard]] bool dying(ObjectId object) const;

  // Uses to write down: of objects in memory, and of those that left it.
  std::vector<Touch> take_touches();
  void for_each(const std::function<void(Object&)>& visit);

 private:
  struct Entry {
    Ref<Object> object;
    std::list<ObjectId>::iterator recency;
  };
  void shrink_locked(std::vector<Ref<Object>>& dropped) REQUIRES(mutex_);
  void erase_locked(ObjectId object) REQUIRES(mutex_);

  mutable sync::Mutex mutex_{kTableLock};
  std::unordered_map<ObjectId, Entry> objects_ GUARDED_BY(mutex_);
  std::map<std::string, ObjectId> by_key_ GUARDED_BY(mutex_);  // in order: versions lie together
  std::list<ObjectId> recency_ GUARDED_BY(mutex_);
  std::unordered_set<ObjectId> dying_ GUARDED_BY(mutex_);
  std::vector<Touch> touches_ GUARDED_BY(mutex_);  // of objects that left memory
  uint64_t generation_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::cachefiles
