#include "lockdep_preload/watch.h"

#include <dlfcn.h>
#include <unistd.h>

#include "lockdep/stack_capture.h"
#include "lockdep_preload/allocation.h"
#include "lockdep_preload/thread.h"

namespace netfs::lockdep_preload {

namespace {

bool in_loaded_object(uintptr_t address) {
  dl_find_object found;
  return ::_dl_find_object(reinterpret_cast<void*>(address), &found) == 0;
}

Record* add(uintptr_t address, Kind kind, uintptr_t ip) {
  const KeepErrno keep;
  uintptr_t frame = 0;
  SitePlace place{.origin = Origin::kFirst, .at = ip};
  if (on_own_stack(address)) {
    place.origin = Origin::kStack;
    const StackFrame found = stack_frame(address);
    frame = found.identity;
    if (found.function != 0) place.at = found.function;
  } else if (in_loaded_object(address)) {
    place = {.origin = Origin::kStatic, .at = address};
  } else if (const Allocation block = allocation_of(address); block.caller != 0) {
    place = {.origin = Origin::kAllocated, .at = block.caller, .offset_bytes = block.offset_bytes};
  }
  Site* site = site_of(kind, place);
  Record* record = site == nullptr ? nullptr : add_record(address, *site);
  if (record != nullptr && frame != 0) record->frame = frame;
  return record;
}

void give_own_class(Context& context, Record& record) {
  if (record.has_own_class()) return;
  const lockdep::ClassKey* key = make_own_key(*record.site);
  if (key != nullptr) validator().reclassify(context, record.instance, *key);
}

}  // namespace

Record* record_at_slowly(const void* lock, Kind kind, uintptr_t ip) {
  const auto address = reinterpret_cast<uintptr_t>(lock);
  Record* record = find_record(address);
  if (__builtin_expect(record == nullptr, 0)) return add(address, kind, ip);
  if (__builtin_expect(record->frame != 0, 0) && on_own_stack(address)) {
    const KeepErrno keep;
    if (stack_frame(address).identity == record->frame) return record;
    retire_record(*record);  // that function has returned; this is another lock
    return add(address, kind, ip);
  }
  return record;
}

void lock_made(Context& context, const void* lock, Kind kind, uintptr_t ip) {
  const KeepErrno keep;
  const auto address = reinterpret_cast<uintptr_t>(lock);
  if (Record* old = find_record(address)) {
    validator().init(context, old->instance, ip);
    retire_record(*old);
  }
  Site* site = site_of(kind, {.origin = Origin::kInit, .at = ip});
  if (site != nullptr) (void)add_record(address, *site);
}

void lock_destroyed(Context& context, const void* lock, uintptr_t ip) {
  const KeepErrno keep;
  Record* record = find_record(reinterpret_cast<uintptr_t>(lock));
  if (record == nullptr) return;
  validator().destroy(context, record->instance, ip);
  retire_record(*record);
}

void taken_from(Record& record, int owner) {
  if (owner == 0 || owner == ::gettid()) return;
  record.taken_from.store(owner);
  call_attention(owner);
}

// Perhaps with another lock of its site held, or of a site that is split.  Two locks of one class
// under each other: that is said once (as a matter of the class), and from then on each has its
// own.
void acquire_known_class(Context& context, Record& record, const How& how, uintptr_t ip) {
  Site& site = *record.site;
  if (!record.has_own_class()) {
    if (site.split.load(std::memory_order_relaxed)) {
      give_own_class(context, record);
    } else if (const lockdep::Instance* other =
                   lockdep::Validator::held_other(context, site.key, record.instance)) {
      const KeepErrno keep;
      validator().acquire(context, record.instance, how, ip);
      validator().release(context, record.instance, ip);
      site.split.store(true, std::memory_order_relaxed);
      give_own_class(context, *record_of(other));
      give_own_class(context, record);
    }
  }
  validator().acquire(context, record.instance, how, ip);
}

}  // namespace netfs::lockdep_preload
