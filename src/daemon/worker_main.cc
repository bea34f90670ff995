#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/held_descriptors.h"
#include "daemon/json_fields.h"
#include "daemon/options.h"
#include "daemon/owner_settings.h"
#include "daemon/worker.h"
#include "daemon/worker_process.h"
#include "telemetry/log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace netfs::daemon {

namespace {

constexpr Duration kHelloTimeout = std::chrono::seconds(10);

// 200 MiB with two processors: few arenas, and freed memory goes back to the system.
void bound_memory() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 4 << 20);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

}  // namespace

int worker_main() {
  bound_memory();
  ::prctl(PR_SET_NAME, "netfs-worker");
  // Memory the kernel needs for our answers must not be got by writing to this very mount; only
  // root may ask for that.
  (void)::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  for (const int fd : {kWorkerSocketFd, kWorkerListenFd}) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      telemetry::log_error("worker", "'netfs worker' is started by netfs itself, never by hand");
      return 1;
    }
  }
  (void)raise_descriptor_limit();
  SupervisorLink link{UniqueFd(kWorkerSocketFd)};
  UniqueFd listener(kWorkerListenFd);
  Result<Inheritance> inheritance =
      link.receive_inheritance(Deadline::after(Clock::system(), kHelloTimeout));
  if (!inheritance.ok()) {
    telemetry::log_error("worker", "no supervisor: {}", inheritance.error().message());
    return 1;
  }
  const Result<OwnerSettings> settings = decode_owner_settings(inheritance.value().settings);
  if (!settings.ok()) {
    telemetry::log_error("worker", "{}", settings.error().message());
    return 1;
  }
  const MountOptions& options = settings.value().options;
  std::vector<Adopted> mounts = std::move(inheritance.value().mounts);
  int code = 1;
  {
    Worker worker(link, std::move(listener), inheritance.value(),
                  {.cache_dir = options.no_cache ? "" : options.cache_dir,
                   .cache_size = options.cache_size,
                   .memory_bytes = options.memory_bytes});
    telemetry::start_log({.file = settings.value().log_file, .level = options.log_level});
    code = worker.run(std::move(mounts));
  }
  telemetry::stop_log();
  return code;
}

}  // namespace netfs::daemon
