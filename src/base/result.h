#pragma once
// Result<T>: a value or an Error; TRY and MUST unwrap it.
//
// std::expected is missing from half of our toolchain (g++ 12 has it in C++23 only, clang 14 not at
// all), so this is our own; the idea of TRY is SerenityOS's.  The class is [[nodiscard]]: a dropped
// result does not compile.  TRY must not be used on a Result of a reference.
//
//   Result<UniqueFd> open_root() {
//     UniqueFd fd = TRY(open_file("/", O_RDONLY));
//     return fd;
//   }

#include <optional>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "base/error.h"

namespace netfs {

template <class T = void>
class [[nodiscard]] Result {
 public:
  using Value = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  template <class U>
  requires(std::is_convertible_v<U, T> && !std::is_same_v<std::decay_t<U>, Result> &&
           !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, T>)
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}  // NOLINT: implicit

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  [[nodiscard]] bool is_error(int code) const {
    return !ok() && std::get<1>(state_).code() == code;
  }

  T& value() & {
    NETFS_ASSERT(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    NETFS_ASSERT(ok());
    return std::get<0>(state_);
  }
  T value() && {
    NETFS_ASSERT(ok());
    return std::get<0>(std::move(state_));
  }
  [[nodiscard]] const Error& error() const& {
    NETFS_ASSERT(!ok());
    return std::get<1>(state_);
  }
  Error error() && {
    NETFS_ASSERT(!ok());
    return std::get<1>(std::move(state_));
  }
  // 0 or the errno.
  [[nodiscard]] int code() const { return ok() ? 0 : std::get<1>(state_).code(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using Value = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  [[nodiscard]] bool is_error(int code) const { return error_ && error_->code() == code; }
  void value() const { NETFS_ASSERT(ok()); }
  [[nodiscard]] const Error& error() const& {
    NETFS_ASSERT(!ok());
    return *error_;
  }
  Error error() && {
    NETFS_ASSERT(!ok());
    return *std::move(error_);
  }
  [[nodiscard]] int code() const { return error_ ? error_->code() : 0; }

 private:
  std::optional<Error> error_;
};

}  // namespace netfs

// Yields the value of `expression`, or returns its error from the calling function.
#define TRY(expression)                                             \
  __extension__({                                                   \
    auto try_result_ = (expression);                                \
    if (!try_result_.ok()) return ::std::move(try_result_).error(); \
    ::std::move(try_result_).value();                               \
  })

// Yields the value of `expression`, which cannot fail here; say why beside it.
#define MUST(expression)               \
  __extension__({                      \
    auto must_result_ = (expression);  \
    NETFS_ASSERT(must_result_.ok());   \
    ::std::move(must_result_).value(); \
  })
