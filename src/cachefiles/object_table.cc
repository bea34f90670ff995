#include "cachefiles/object_table.h"

#include "cachefiles/limits.h"

namespace netfs::cachefiles {

namespace {

// Idle objects looked at for one new one, so that entering never takes long.
constexpr int kShrinkSteps = 8;

}  // namespace

Ref<Object> ObjectTable::find(const std::string& table_key) {
  sync::MutexLock lock(mutex_);
  const auto found = by_key_.find(table_key);
  if (found == by_key_.end()) return nullptr;
  Entry& entry = objects_.at(found->second);
  recency_.splice(recency_.begin(), recency_, entry.recency);
  return entry.object;
}

std::vector<Ref<Object>> ObjectTable::find_versions(const std::string& prefix) {
  std::vector<Ref<Object>> versions;
  sync::MutexLock lock(mutex_);
  for (auto at = by_key_.lower_bound(prefix); at != by_key_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    const auto found = objects_.find(at->second);
    if (found != objects_.end()) versions.push_back(found->second.object);
  }
  return versions;
}

Ref<Object> ObjectTable::find(ObjectId object) {
  sync::MutexLock lock(mutex_);
  const auto found = objects_.find(object);
  return found == objects_.end() ? nullptr : found->second.object;
}

uint64_t ObjectTable::generation() const {
  sync::MutexLock lock(mutex_);
  return generation_;
}

Ref<Object> ObjectTable::enter(Ref<Object> object, uint64_t generation) {
  std::vector<Ref<Object>> dropped;  // destroyed after the lock is gone
  sync::MutexLock lock(mutex_);
  const auto there = by_key_.find(object->table_key());
  if (there != by_key_.end()) return objects_.at(there->second).object;
  if (generation != generation_ || dying_.contains(object->id())) return nullptr;
  shrink_locked(dropped);
  recency_.push_front(object->id());
  by_key_[object->table_key()] = object->id();
  objects_[object->id()] = {object, recency_.begin()};
  lock.unlock();
  dropped.clear();
  lock.lock();
  return object;
}

void ObjectTable::shrink_locked(std::vector<Ref<Object>>& dropped) {
  for (int step = 0; step < kShrinkSteps && objects_.size() >= kIdleObjectsMax; ++step) {
    const ObjectId last = recency_.back();
    const Ref<Object>& object = objects_.at(last).object;
    if (object->ref_count() > 1) {
      recency_.splice(recency_.begin(), recency_, std::prev(recency_.end()));
      continue;
    }
    const std::optional<int64_t> recorded = object->unwritten_use();
    if (recorded && touches_.size() < kTouchesMax) {
      touches_.push_back({object->object_key(), last, *recorded, object->last_use_seconds()});
    }
    dropped.push_back(object);
    erase_locked(last);
  }
}

void ObjectTable::erase_locked(ObjectId object) {
  const auto found = objects_.find(object);
  if (found == objects_.end()) return;
  const auto by_key = by_key_.find(found->second.object->table_key());
  if (by_key != by_key_.end() && by_key->second == object) by_key_.erase(by_key);
  recency_.erase(found->second.recency);
  objects_.erase(found);
}

void ObjectTable::leave(Object& object) {
  Ref<Object> last(&object);  // so that the table's Ref is not the last one under its lock
  sync::MutexLock lock(mutex_);
  erase_locked(object.id());
  dying_.insert(object.id());
}

bool ObjectTable::begin_cull(ObjectId object, Ref<Object>* taken) {
  sync::MutexLock lock(mutex_);
  if (dying_.contains(object)) return false;
  const auto found = objects_.find(object);
  if (found != objects_.end()) {
    if (found->second.object->ref_count() > 1) return false;
    *taken = found->second.object;
    erase_locked(object);
  }
  dying_.insert(object);
  return true;
}

void ObjectTable::begin_dying(ObjectId object) {
  sync::MutexLock lock(mutex_);
  dying_.insert(object);
}

void ObjectTable::end_dying(const std::vector<ObjectId>& objects) {
  sync::MutexLock lock(mutex_);
  for (const ObjectId object : objects) dying_.erase(object);
  if (!objects.empty()) ++generation_;
}

bool ObjectTable::dying(ObjectId object) const {
  sync::MutexLock lock(mutex_);
  return dying_.contains(object);
}

std::vector<Touch> ObjectTable::take_touches() {
  sync::MutexLock lock(mutex_);
  std::vector<Touch> touches;
  touches.swap(touches_);
  // One that came back to memory is counted there.
  std::erase_if(touches, [this](const Touch& touch) REQUIRES(mutex_) {
    return objects_.contains(touch.object) || dying_.contains(touch.object);
  });
  for (auto& [id, entry] : objects_) {
    const std::optional<int64_t> recorded = entry.object->unwritten_use();
    if (!recorded) continue;
    touches.push_back(
        {entry.object->object_key(), id, *recorded, entry.object->last_use_seconds()});
  }
  return touches;
}

void ObjectTable::for_each(const std::function<void(Object&)>& visit) {
  std::vector<Ref<Object>> objects;
  {
    sync::MutexLock lock(mutex_);
    objects.reserve(objects_.size());
    for (auto& [id, entry] : objects_) objects.push_back(entry.object);
  }
  for (const Ref<Object>& object : objects) visit(*object);
}

}  // namespace netfs::cachefiles
