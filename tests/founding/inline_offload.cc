// The Offload of a build that breaks the founding rule: it stores in the thread that brings the
// bytes, as the kernel's netfslib did before the fix.  Linked in place of netfs/offload.cc.

#include "netfs/lock_classes.h"
#include "netfs/offload.h"

namespace netfs {

Offload::Offload(std::unique_ptr<CacheWriter> writer, Options options)
    : writer_(std::move(writer)), options_(options), mutex_(kOffloadLock) {}

Offload::~Offload() = default;

bool Offload::store(Store store) {
  return writer_->store(*store.cookie, store.first, store.data.bytes()).ok();
}

void Offload::discard(Ref<Cookie> cookie) {
  writer_->discard(*cookie);
}

bool Offload::forget(Forget what, UniqueFunction<void()> done) {
  (void)writer_->forget(*what.volume, what.path, what.scope);
  done();
  return true;
}

bool Offload::lags() const {
  return false;
}

bool Offload::drain(Deadline) {
  return true;
}

bool Offload::close(Deadline) {
  return true;
}

}  // namespace netfs
