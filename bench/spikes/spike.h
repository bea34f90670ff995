#pragma once
// A spike's scaffold: a file system of one file, served in one of several ways by a process of its
// own, and rows of work done on it by other processes.
//
// Every round mounts each side, in turned order, and runs each row for 0.4 s; what comes out is a
// table in Markdown: medians of what was done a second, and the median of the rounds' ratios of the
// last side over the first, and of others that want it, least to most.
//
// Not thread-safe.  What fails ends the program.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fuse/channel.h"
#include "fuse/session.h"

namespace netfs::spike {

inline constexpr uint64_t kFileBytes = 1 << 30;

// "file", of so many bytes; every other name is another empty file that must be looked up each
// time.  A READ is answered with zeroes.
class OneFile : public fuse::Handler {
 public:
  void started(const fuse::Negotiated&) override {}
  void interrupt(uint64_t) override {}
  void handle(const fuse::Request& request, fuse::Reply reply) override;

 protected:
  virtual void read(const fuse::ReadRequest& request, fuse::Reply reply);
};

using Work = void (*)(const std::string& directory, uint64_t turn, int fd);

struct Row {
  const char* what;
  Work work;  // once
  unsigned jobs;
};

struct Side {
  const char* name;
  Result<void> (*serve)(const std::string& directory);  // until unmounted
  const char* over = nullptr;  // a side before it, whose ratio to this one is shown as well
};

// The descriptors of a new mount, one for each processor.
Result<std::vector<UniqueFd>> mount(const std::string& directory);
// Serves until unmounted.
Result<void> serve(fuse::KernelChannel& channel, fuse::Handler& handler,
                   fuse::SessionOptions options);

void run(const std::string& directory, unsigned rounds, const std::vector<Side>& sides,
         const std::vector<Row>& rows);

// What a spike's main() is.
int main_of(int argc, char** argv, const std::vector<Side>& sides, const std::vector<Row>& rows);

}  // namespace netfs::spike
