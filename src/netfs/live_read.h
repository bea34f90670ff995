#pragma once
// LiveRead: one read of a LiveFile, until it is answered.  Its parts tile the range; each goes to
// the origin.  Everything that is not const is guarded by the mutex of its file.

#include <optional>
#include <string>
#include <vector>

#include "netfs/buffer.h"
#include "netfs/library.h"
#include "netfs/request.h"
#include "netfs/write_overlay.h"

namespace netfs {

class LiveFile;

class LiveRead final : public Request {
 public:
  struct Part {
    ByteRange range;
    Ref<Buffer> buffer;
    uint64_t done_bytes = 0;
    bool in_flight = false;
    bool ended = false;  // full, or the file ends there
    bool at_end = false;
    bool no_progress = false;
    std::optional<Error> error;
    std::optional<MonoTime> until;  // as a limit of bandwidth has moved it
  };

  LiveRead(uint64_t number, Ref<LiveFile> of, ByteRange asked, const sync::Context& asker,
           ReadDone answer, MonoTime now, MonoTime until);
  ~LiveRead() override;

  void end(Error error) override;
  [[nodiscard]] MonoTime waits_until() const override;
  [[nodiscard]] std::string path() const override;
  [[nodiscard]] std::string what_it_waits_for() const override;

  const Ref<LiveFile> file;

  ReadDone done;
  std::vector<Part> parts;
  WriteOverlay overlay;  // of the writes that were kept when it began
  unsigned in_flight = 0;
  unsigned failures = 0;
  bool finished = false;
};

}  // namespace netfs
