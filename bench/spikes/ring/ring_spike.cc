// ring_spike: is FUSE over io_uring worth a second transport?  The same do-nothing file system over
// /dev/fuse with placed threads, over /dev/fuse with free ones, and over the ring.
//
//   ring_spike DIRECTORY [ROUNDS]      an empty directory; default: 9 rounds; root
//
// Wants /sys/module/fuse/parameters/enable_uring to be Y.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "fuse/caller_watch.h"
#include "fuse/device_channel.h"
#include "fuse/ring_channel.h"
#include "spikes/spike.h"

namespace netfs::spike {
namespace {

void read_once(const std::string&, uint64_t turn, int fd) {
  alignas(4096) thread_local char page[4096];
  const uint64_t at = (turn * 2654435761U) % (kFileBytes / sizeof page) * sizeof page;
  NETFS_ASSERT(::pread(fd, page, sizeof page, static_cast<off_t>(at)) == sizeof page);
}
void stat_once(const std::string& directory, uint64_t turn, int) {
  struct stat found {};
  NETFS_ASSERT(::stat((directory + "/" + std::to_string(turn)).c_str(), &found) == 0);
}
void open_once(const std::string& directory, uint64_t, int) {
  const int fd = ::open((directory + "/file").c_str(), O_RDONLY | O_CLOEXEC);
  NETFS_ASSERT(fd >= 0 && ::close(fd) == 0);
}

Result<void> serve_device(const std::string& directory, fuse::SessionOptions options) {
  std::vector<UniqueFd> fds = TRY(mount(directory));
  const auto channel = TRY(fuse::DeviceChannel::create(std::move(fds)));
  OneFile handler;
  return serve(*channel, handler, std::move(options));
}
Result<void> serve_placed(const std::string& directory) {
  fuse::CallerWatch callers;
  fuse::SessionOptions options;
  options.callers = &callers;
  return serve_device(directory, std::move(options));
}
Result<void> serve_free(const std::string& directory) {
  return serve_device(directory, {});
}
Result<void> serve_ring(const std::string& directory) {
  std::vector<UniqueFd> fds = TRY(mount(directory));
  const auto channel = TRY(fuse::RingChannel::create(fds));
  OneFile handler;
  fuse::SessionOptions options;
  options.over_ring = true;
  return serve(*channel, handler, std::move(options));
}

}  // namespace
}  // namespace netfs::spike

int main(int argc, char** argv) {
  using namespace netfs::spike;
  return main_of(
      argc, argv,
      {{"classic, placed", serve_placed}, {"classic, free", serve_free}, {"ring", serve_ring}},
      {{"4 KiB random O_DIRECT reads, 1 job", read_once, 1},
       {"4 KiB random O_DIRECT reads, 4 jobs", read_once, 4},
       {"stat of a name that must be looked up, 1 job", stat_once, 1},
       {"stat of a name that must be looked up, 4 jobs", stat_once, 4},
       {"open and close, 1 job", open_once, 1},
       {"open and close, 4 jobs", open_once, 4}});
}
