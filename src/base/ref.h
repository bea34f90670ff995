#pragma once
// Ref<T>: an intrusive counted reference, for the few things that have many holders
// (requests, files, buffers, cookies).  T derives from RefCounted<T>.
//
// Copying a Ref takes a reference; the last one deletes.  Thread-safe as shared_ptr is: the count
// is atomic, the object is what it makes of itself.
//
//   Ref<File> file = make_ref<File>(...);

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/assert.h"

namespace netfs {

template <class T>
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void ref_get() const { count_.fetch_add(1, std::memory_order_relaxed); }
  // For tables that point to what others hold: false when the last reference is gone and the
  // object is about to be deleted.
  [[nodiscard]] bool ref_try_get() const {
    uint32_t count = count_.load(std::memory_order_relaxed);
    while (count != 0) {
      if (count_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void ref_put() const {
    // Release: our writes happen before the delete; acquire: the deleter sees everyone's.
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete static_cast<const T*>(this);
  }
  [[nodiscard]] uint32_t ref_count() const { return count_.load(std::memory_order_acquire); }

 protected:
  RefCounted() = default;
  ~RefCounted() = default;

 private:
  mutable std::atomic<uint32_t> count_{0};
};

template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}  // NOLINT: implicit, as for every pointer
  explicit Ref(T* object) : object_(object) {
    if (object_) object_->ref_get();
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
  requires(std::is_convertible_v<U*, T*> && !std::is_same_v<U, T>) Ref(Ref<U> other)
      : object_(other.leak()) {}  // NOLINT: implicit, derived to base
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_) object_->ref_put();
  }

  // Takes over a reference that somebody got already.
  [[nodiscard]] static Ref adopt(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }

  [[nodiscard]] T* get() const { return object_; }
  T* operator->() const {
    NETFS_ASSERT(object_);
    return object_;
  }
  T& operator*() const {
    NETFS_ASSERT(object_);
    return *object_;
  }
  explicit operator bool() const { return object_ != nullptr; }
  // Gives up the reference without dropping it.
  [[nodiscard]] T* leak() { return std::exchange(object_, nullptr); }
  friend bool operator==(const Ref& a, const Ref& b) { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

template <class T, class... Args>
Ref<T> make_ref(Args&&... args) {
  return Ref<T>(new T(std::forward<Args>(args)...));
}

}  // namespace netfs
