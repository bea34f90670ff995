// How a thread should wait for requests: asleep in read(2), as DeviceChannel does, or in poll(2)
// with a second descriptor that could wake it.  One caller stats an absent name on a real mount,
// over and over; names are not remembered, so each is one LOOKUP.  Needs root and /dev/fuse.

#include <array>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "fuse/caller_watch.h"
#include "fuse/device_channel.h"
#include "fuse/mount.h"
#include "fuse/session.h"

namespace netfs::fuse {
namespace {

// The other way: descriptors that do not block, tried first and else waited for by poll.
class PollChannel final : public KernelChannel {
 public:
  explicit PollChannel(std::vector<UniqueFd> fds) : fds_(std::move(fds)) {
    for (const UniqueFd& fd : fds_) ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  }
  [[nodiscard]] unsigned queue_count() const override { return static_cast<unsigned>(fds_.size()); }
  Result<std::span<const std::byte>> receive(unsigned queue, std::span<std::byte> buffer) override {
    while (true) {
      const ssize_t length = ::read(fds_[queue].get(), buffer.data(), buffer.size());
      if (length > 0) return buffer.first(static_cast<size_t>(length));
      if (errno == ENODEV) return Error(ENODEV, "bench");
      std::array<pollfd, 2> wait{{{fds_[queue].get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
      ::poll(wait.data(), wait.size(), -1);
      if (wait[1].revents != 0) return Error(ECANCELED, "bench");
    }
  }
  Result<void> send(unsigned queue, std::span<const iovec> message) override {
    if (::writev(fds_[queue].get(), message.data(), static_cast<int>(message.size())) >= 0)
      return {};
    return Error::from_errno("bench");
  }
  Result<int32_t> backing_open(int /*fd*/) override { return Error(ENOTTY, "bench"); }
  Result<void> backing_close(int32_t /*id*/) override { return Error(ENOTTY, "bench"); }
  void shutdown() override {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

 private:
  std::vector<UniqueFd> fds_;
  UniqueFd wake_{::eventfd(0, EFD_CLOEXEC)};
};

// Knows the root and no name.
class EmptyFs final : public Handler {
 public:
  void started(const Negotiated& /*negotiated*/) override {}
  void interrupt(uint64_t /*unique*/) override {}
  void handle(const Request& request, Reply reply) override {
    if (std::holds_alternative<GetattrRequest>(request.body)) {
      reply.value(attr_out({.ino = 1, .mode = S_IFDIR | 0755}, kForever));
    } else if (reply) {
      reply.error(std::holds_alternative<LookupRequest>(request.body) ? ENOENT : ENOSYS);
    }
  }
};

enum class Waiting { kRead, kPoll };

void lookups(benchmark::State& state, Waiting waiting) {
  char folder[] = "/tmp/netfs-channel-bench-XXXXXX";
  if (::mkdtemp(folder) == nullptr) return state.SkipWithError("no temporary folder");
  Result<std::vector<UniqueFd>> fds =
      mount_directly({.source = "bench", .mount_point = folder, .queues = 4});
  if (!fds.ok()) {
    ::rmdir(folder);
    return state.SkipWithError(fds.error().message().c_str());
  }
  std::unique_ptr<KernelChannel> channel;
  if (waiting == Waiting::kPoll) {
    channel = std::make_unique<PollChannel>(std::move(fds).value());
  } else {
    channel = MUST(DeviceChannel::create(std::move(fds).value()));
  }
  EmptyFs fs;
  SessionOptions options;
  CallerWatch watch;
  if (state.range(0) != 0) options.callers = &watch;
  const auto session = MUST(Session::create(*channel, fs, options, Clock::system()));
  session->start();
  const std::string absent = std::string(folder) + "/absent";
  struct stat attributes {};
  for (auto _ : state) benchmark::DoNotOptimize(::stat(absent.c_str(), &attributes));
  (void)unmount(folder, UnmountMode::kForce);
  session->stop(Deadline::after(Clock::system(), std::chrono::seconds(5)));
  ::rmdir(folder);
}

BENCHMARK_CAPTURE(lookups, asleep_in_read, Waiting::kRead)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(lookups, asleep_in_poll, Waiting::kPoll)->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
}  // namespace netfs::fuse
