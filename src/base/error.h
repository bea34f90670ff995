#pragma once
// Error: why an operation failed, as a positive Linux errno with a static context.
//
// The code is what a kernel reply needs; the context says where it happened ("sftp.open"); the
// detail, empty on hot paths, is a sentence for a person ("host key of h is unknown; ...").
// Thread-safety: a value type.  Code is never 0.
//
//   return Error(ENOENT, "file.stat");

#include <cerrno>
#include <string>
#include <utility>

namespace netfs {

class Error {
 public:
  Error(int code, const char* context) : code_(code), context_(context) {}
  Error(int code, const char* context, std::string detail)
      : code_(code), context_(context), detail_(std::move(detail)) {}

  // The calling thread's errno, which must be set.
  static Error from_errno(const char* context) { return Error(errno, context); }

  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] const char* context() const { return context_; }
  [[nodiscard]] const std::string& detail() const { return detail_; }

  // One line for a person: the detail if there is one, else "context: text of the errno".
  [[nodiscard]] std::string message() const;

 private:
  int code_;
  const char* context_;  // static storage, always
  std::string detail_;
};

}  // namespace netfs
