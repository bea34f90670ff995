#pragma once
// BlockingOrigin: turns a client library that only blocks into an Origin: five short functions.
//
// Derive from it and write stat(), list(), open(), read() and volume_key(); read_link() if the tree
// has links.  Each may block, bounded by its deadline, and is called by several threads at once.
// Reads run on the adapter's own pool of `threads`, one read a thread, so `threads` is also how
// many run at a time.
//
// Call stop() first in the destructor of the derived class: reads that are still queued run into
// it.
//
// Example: examples/hello_origin.h.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "netfs/origin.h"
#include "sync/work_queue.h"

namespace netfs {

class BlockingOrigin : public Origin {
 public:
  struct Options {
    std::string name = "origin";  // of the pool's threads
    unsigned threads = 8;
    OriginCapabilities capabilities;
  };

  explicit BlockingOrigin(Options options);
  ~BlockingOrigin() override;

  // Reads from the offset into `to`; returns how many bytes, fewer at the end of the file.
  virtual Result<uint64_t> read(OriginFile& file, uint64_t offset_bytes, std::span<std::byte> to,
                                Deadline deadline) = 0;
  // The validator of the open file as it is now.  The default, none, makes the library ask stat().
  virtual std::optional<Validator> validator(OriginFile& file);

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return options_.capabilities;
  }
  // EINVAL: no links here.
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  void issue_read(Subrequest& subrequest) final;

 protected:
  // Ends the pool; what is queued is still read.  Idempotent.
  void stop();

 private:
  void run(Subrequest& subrequest);

  const Options options_;
  sync::WorkQueue pool_;
};

}  // namespace netfs
