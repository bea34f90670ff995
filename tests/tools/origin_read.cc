// origin_read: reads one file from an origin as fast as it gives it, without cache or mount.
//
//   origin_read URL PATH [in_flight=MIB] [size=KIB] [passes=N] [timeout=SECONDS] [NAME=VALUE ...]
//
// `in_flight` (16) bounds what is asked and not yet here, `size` (512) is one subrequest, `timeout`
// (30) what each wait on the origin may take; the other pairs are the origin's options.  Prints one
// JSON line a pass: bytes, seconds, MB/s, processor seconds of this process (not of ssh), and a
// CRC32C of the whole file.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "base/crc32c.h"
#include "netfs/origin.h"
#include "origins/module_loader.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {
namespace {

constinit sync::LockClass kLock{"origin_read.piece"};

class Piece final : public Subrequest {
 public:
  Piece(OriginFile& file, ByteRange range, std::vector<std::byte>& memory, Deadline deadline)
      : Subrequest(file, range, std::span(memory).first(range.length_bytes), deadline) {}
  void terminated(ReadOutcome outcome) override {
    sync::MutexLock lock(mutex_);
    outcome_ = std::move(outcome);
    done_.notify_all();
  }
  ReadOutcome wait() {
    sync::MutexLock lock(mutex_);
    while (!outcome_) done_.wait(mutex_);
    return std::move(*outcome_);
  }

 private:
  sync::Mutex mutex_{kLock};
  sync::CondVar done_;
  std::optional<ReadOutcome> outcome_ GUARDED_BY(mutex_);
};

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

double processor_seconds(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

struct Work {
  std::vector<std::byte> memory;
  std::unique_ptr<Piece> piece;
};

struct Settings {
  origins::OriginRequest request;
  std::string path;
  uint64_t in_flight = 16 << 20;
  uint64_t size = 512 << 10;
  unsigned passes = 1;
};

Result<Settings> parse(int argc, char** argv) {
  Settings settings{.request = {.url = TRY(origins::Url::parse(argv[1]))}, .path = argv[2]};
  for (int i = 3; i < argc; ++i) {
    const std::string pair = argv[i];
    const std::string name = pair.substr(0, pair.find('='));
    const std::string value = pair.substr(std::min(pair.size(), name.size() + 1));
    if (name == "in_flight") {
      settings.in_flight = std::strtoull(value.c_str(), nullptr, 10) << 20;
    } else if (name == "size") {
      settings.size = std::strtoull(value.c_str(), nullptr, 10) << 10;
    } else if (name == "passes") {
      settings.passes = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    } else if (name == "timeout") {
      settings.request.timeout = std::chrono::seconds(std::strtoul(value.c_str(), nullptr, 10));
    } else {
      settings.request.options[name] = value;
    }
  }
  return settings;
}

// Reads the file whole, in order, with `in_flight` bytes asked ahead; its CRC.
Result<uint32_t> read_whole(Origin& origin, OriginFile& file, uint64_t end,
                            const Settings& settings) {
  const Deadline deadline = Deadline::after(Clock::system(), std::chrono::minutes(10));
  const uint64_t ahead = std::max(settings.in_flight, settings.size);
  uint64_t next = 0;
  uint64_t done = 0;
  uint32_t crc = 0;
  std::deque<Work> works;
  std::vector<std::vector<std::byte>> spare;
  while (done < end) {
    while (next < end && next - done + settings.size <= ahead) {
      const ByteRange range{next, std::min(settings.size, end - next)};
      Work work;
      if (spare.empty()) {
        work.memory.resize(settings.size);
      } else {
        work.memory = std::move(spare.back());
        spare.pop_back();
      }
      work.piece = std::make_unique<Piece>(file, range, work.memory, deadline);
      works.push_back(std::move(work));
      origin.issue_read(*works.back().piece);
      next += range.length_bytes;
    }
    Work& first = works.front();
    const ReadOutcome outcome = first.piece->wait();
    // Nothing may be left under way when an error ends it here.
    if (!outcome.transferred_bytes.ok() ||
        outcome.transferred_bytes.value() != first.piece->range().length_bytes) {
      for (size_t i = 1; i < works.size(); ++i) works[i].piece->wait();
      if (!outcome.transferred_bytes.ok()) return outcome.transferred_bytes.error();
      return Error(EIO, "origin_read", "a read came back short");
    }
    crc = crc32c(first.piece->destination(), crc);
    done += first.piece->range().length_bytes;
    spare.push_back(std::move(first.memory));
    works.pop_front();
  }
  return crc;
}

Result<void> run(int argc, char** argv) {
  const Settings settings = TRY(parse(argc, argv));
  const Clock& clock = Clock::system();
  const MonoTime begun = clock.now();
  const std::unique_ptr<Origin> origin = TRY(origins::open_origin(settings.request));
  const Deadline deadline = Deadline::after(clock, std::chrono::minutes(1));
  const NodeInfo info = TRY(origin->stat(settings.path, deadline));
  const std::unique_ptr<OriginFile> file = TRY(origin->open(settings.path, deadline));
  const uint64_t end = info.attributes.size_bytes;
  const double open_seconds = std::chrono::duration<double>(clock.now() - begun).count();
  for (unsigned pass = 0; pass < settings.passes; ++pass) {
    const double processor = processor_seconds(RUSAGE_SELF);
    const MonoTime started = clock.now();
    const uint32_t crc = TRY(read_whole(*origin, *file, end, settings));
    const double seconds = std::chrono::duration<double>(clock.now() - started).count();
    std::string status;
    for (const auto& [name, value] : origin->status()) status += name + ": " + value + "; ";
    std::printf(
        "{\"bytes\": %llu, \"open_seconds\": %.3f, \"seconds\": %.3f, \"mb_per_s\": %.1f, "
        "\"processor_seconds\": %.2f, \"crc32c\": \"%08x\", \"status\": \"%s\"}\n",
        static_cast<unsigned long long>(end), open_seconds, seconds,
        static_cast<double>(end) / seconds / 1e6, processor_seconds(RUSAGE_SELF) - processor, crc,
        status.c_str());
  }
  return {};
}

}  // namespace
}  // namespace netfs

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(
        stderr,
        "usage: origin_read URL PATH [in_flight=MIB] [size=KIB] [passes=N] [NAME=VALUE ...]\n");
    return 2;
  }
  const auto result = netfs::run(argc, argv);
  if (result.ok()) return 0;
  std::fprintf(stderr, "origin_read: %s\n", result.error().message().c_str());
  return 1;
}
