#pragma once
// UniqueFunction<Sig>: a callable that is moved, not copied, so it may own what it needs.
//
// std::move_only_function is C++23.  Empty after a move; calling an empty one asserts.  One heap
// allocation a function, so not for the path of a cached read.
//
//   UniqueFunction<void()> work = [fd = std::move(fd)] { ... };

#include <memory>
#include <type_traits>
#include <utility>

#include "base/assert.h"

namespace netfs {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  template <class F>
  requires(!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
           std::is_invocable_r_v<R, F&, Args...>)
      UniqueFunction(F&& function)  // NOLINT: implicit, as for std::function
      : target_(std::make_unique<Target<std::decay_t<F>>>(std::forward<F>(function))) {}

  explicit operator bool() const { return target_ != nullptr; }
  R operator()(Args... args) {
    NETFS_ASSERT(target_);
    return target_->call(std::forward<Args>(args)...);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Target final : Base {
    explicit Target(F f) : function(std::move(f)) {}
    R call(Args... args) override { return function(std::forward<Args>(args)...); }
    F function;
  };
  std::unique_ptr<Base> target_;
};

}  // namespace netfs
