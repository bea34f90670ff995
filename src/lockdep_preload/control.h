#pragma once
// The control socket of a watched program: an abstract Unix socket, `lockdep/PID`, in its network
// namespace.  One word a connection, `dump` or `stat`, answered by text.
//
// Only the program's own user and root are answered.  Every wait on the other side is bounded.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::lockdep_preload {

// The server's side, for one thread at a time.
class ControlSocket {
 public:
  // Answers a word, of at most kWordMax letters.
  using Answer = std::string (*)(std::string_view word);
  static constexpr size_t kWordMax = 16;
  static constexpr int kWaitMs = 2000;

  // EADDRINUSE: another one answers for this process; EMFILE.  The descriptor is a high one, closed
  // by exec; it has a low number for a moment, which other threads would see.
  static Result<ControlSocket> open(int process);

  ControlSocket(ControlSocket&&) = default;
  ControlSocket& operator=(ControlSocket&&) = default;
  // Closes what is still ours, and leaves the number alone where the program has taken it.
  ~ControlSocket();

  // Waits up to `timeout_ms` for somebody who asks, and answers.  True: somebody came.
  bool serve(int timeout_ms, Answer answer);

  // What tells it from whatever else has its number.  Closes it if it is still there: in the child
  // of a fork, where the socket itself belongs to a thread that is not.
  struct Identity {
    int fd = -1;
    unsigned long long inode = 0;
  };
  [[nodiscard]] Identity identity() const { return {fd_.get(), inode_}; }
  static void close_if_there(Identity identity);

 private:
  ControlSocket(UniqueFd fd, unsigned long long inode) : fd_(std::move(fd)), inode_(inode) {}
  // Programs close what they do not know, and open other things: is it ours still?
  [[nodiscard]] bool is_ours() const;

  UniqueFd fd_;
  unsigned long long inode_;
};

// Asks the program `process`.  ESRCH: it is not watched, has no thread to answer with, or ended
// while it was asked; EACCES: it is another user's; ETIMEDOUT.
[[nodiscard]] Result<std::string> ask(int process, std::string_view word);

}  // namespace netfs::lockdep_preload
