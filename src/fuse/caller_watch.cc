#include "fuse/caller_watch.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>

#include "base/unique_fd.h"

namespace netfs::fuse {

namespace {
constexpr size_t kSeatsMax = 1024;  // questions that wait: one a seat
}  // namespace

CallerWatch::CallerWatch() : thread_({.name = "netfs-where", .depth_max = kSeatsMax}) {}

void CallerWatch::look(const Ref<Seat>& seat, uint32_t pid) {
  if (seat->asked_.exchange(true)) return;
  const bool posted = thread_.post([seat, pid] {
    seat->found_.store(processor_of(pid), std::memory_order_relaxed);
    seat->asked_.store(false);
  });
  if (!posted) seat->asked_.store(false);
}

int processor_of(uint32_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (length <= 0) return -1;
  text[length] = 0;
  // Fields are counted from behind the name, which is in brackets and may hold anything: the state
  // is the third field, the processor the 39th.
  const char* at = std::strrchr(text, ')');
  constexpr int kFieldsToSkip = 39 - 2;
  for (int field = 0; field < kFieldsToSkip && at != nullptr; ++field) {
    at = std::strchr(at + 1, ' ');
  }
  return at == nullptr ? -1 : std::atoi(at + 1);
}

}  // namespace netfs::fuse
