#pragma once
// Looker: asks what a URL is, by HEAD; by a GET of one byte where the server refuses HEAD, or says
// no length there or that it is 0, which many say of whatever they make anew for each GET.
//
// Requests whose connection was lost are asked again: they change nothing.  Thread-safe.

#include <atomic>
#include <string>

#include "base/ref.h"
#include "base/result.h"
#include "origins/http/call.h"
#include "origins/http/edition.h"
#include "origins/http/read_side.h"

namespace netfs::origins::http {

struct Seen {
  bool is_directory = false;
  Edition edition;  // of files

  [[nodiscard]] NodeInfo info() const { return is_directory ? directory_info() : edition.info(); }
};

class Looker {
 public:
  explicit Looker(ReadSide& side) : side_(side) {}

  // EACCES, ENOENT as HTTP has them; EIO: it is there, and no file that can be read.
  Result<Seen> look(const std::string& url, Deadline deadline);

  // The same in two steps, so that many can be under way.
  Ref<Call> begin(const std::string& url, Deadline deadline);
  Result<Seen> finish(Call& call, Deadline deadline);

  // Asks, and asks again when the answer is lost on its way.
  Result<Call::Answer> ask(const TransferRequest& request, Call::Options options);

 private:
  Result<Seen> look_by_one_byte(const std::string& url, Deadline deadline);

  ReadSide& side_;
  // One URL may refuse HEAD where all others take it.
  std::atomic<unsigned> heads_refused_{0};
  std::atomic<bool> head_taken_{false};
};

}  // namespace netfs::origins::http
