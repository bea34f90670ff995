#pragma once
// shake_hands(): the first words on a new SFTP session: INIT, VERSION, and one more round trip that
// tells the server's limits and the delay.
//
// Blocks, until the deadline or until `cancel_fd` becomes readable.  Thread-safety: pure but for
// the descriptors.
//
// Errors: EPIPE: the other side closed, ssh will have said why; ETIMEDOUT; ECANCELED; EPROTO with a
// sentence: what came is not SFTP.

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "origins/sftp/sftp_wire.h"

namespace netfs::origins::sftp {

struct Greeting {
  ServerVersion version;
  uint64_t read_bytes_max = 32 * 1024;  // what every server must take
  uint64_t write_bytes_max = 32 * 1024;
  uint64_t open_handles_max = 0;  // 0: the server does not say
  Duration round_trip{};
};

// `fd` is non-blocking; `name` stands in sentences.
Result<Greeting> shake_hands(int fd, int cancel_fd, const std::string& name, Deadline deadline,
                             const Clock& clock);

}  // namespace netfs::origins::sftp
