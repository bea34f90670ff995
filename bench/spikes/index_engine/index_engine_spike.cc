// The engine spike: speed, damage and a frozen disk, for three key-value stores.  See README.md.

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/fs.h>
#include <map>
#include <random>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "engine.h"
#include "sync/thread.h"

namespace {

using netfs::Clock;

constexpr size_t kBatch = 1000;

double seconds_since(netfs::MonoTime from) {
  return std::chrono::duration<double>(Clock::system().now() - from).count();
}

std::unique_ptr<Engine> make(const std::string& name) {
  if (name == "lmdb") return make_lmdb();
  if (name == "sqlite") return make_sqlite();
  if (name == "rocksdb") return make_rocksdb();
  fmt::print(stderr, "engines: lmdb sqlite rocksdb\n");
  _exit(2);
}

void must(const std::string& error, const char* what) {
  if (error.empty()) return;
  fmt::print(stderr, "{}: {}\n", what, error);
  _exit(3);
}

uint32_t crc_of(std::string_view key, std::string_view value) {
  const uint32_t crc = netfs::crc32c(std::as_bytes(std::span(key.data(), key.size())));
  return netfs::crc32c(std::as_bytes(std::span(value.data(), value.size())), crc);
}

// A directory entry: parent number, name; value: attributes, about 96 bytes, and our own CRC.
Pair entry(uint64_t i) {
  Pair pair;
  pair.key = fmt::format("N{:08x}/{}_{:07}.h", i / 200, "some_header", i);
  pair.value.resize(92);
  for (size_t at = 0; at + 8 <= pair.value.size(); at += 8) {
    const uint64_t word = i * 0x9e3779b97f4a7c15ull + at;
    pair.value.replace(at, 8, reinterpret_cast<const char*>(&word), 8);
  }
  const uint32_t crc = crc_of(pair.key, pair.value);
  pair.value.append(reinterpret_cast<const char*>(&crc), 4);
  return pair;
}

bool sound(std::string_view key, std::string_view value) {
  if (value.size() < 4) return false;
  uint32_t crc = 0;
  std::copy(value.end() - 4, value.end(), reinterpret_cast<char*>(&crc));
  return crc == crc_of(key, value.substr(0, value.size() - 4));
}

long memory_kib(const char* what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(what, 0) == 0) return std::stol(line.substr(std::string(what).size() + 1));
  }
  return 0;
}

uint64_t bytes_on_disk(const std::string& directory) {
  uint64_t sum = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    struct stat st {};
    if (stat(file.path().c_str(), &st) == 0) sum += static_cast<uint64_t>(st.st_blocks) * 512;
  }
  return sum;
}

void fill(Engine& engine, uint64_t from, uint64_t count) {
  std::vector<Pair> batch;
  for (uint64_t i = from; i < from + count; ++i) {
    batch.push_back(entry(i));
    if (batch.size() == kBatch || i + 1 == from + count) {
      must(engine.commit(batch), "commit");
      batch.clear();
    }
  }
}

void speed(const std::string& name, const std::string& directory, uint64_t count) {
  {
    std::unique_ptr<Engine> engine = make(name);
    must(engine->open(directory), "open");
    const netfs::MonoTime began = Clock::system().now();
    fill(*engine, 0, count);
    const double took = seconds_since(began);
    must(engine->flush_all(), "flush");
    fmt::print("{:8} {:9} names: fill {:.0f} k/s in {} durable commits of {}", name, count,
               static_cast<double>(count) / took / 1000, count / kBatch, kBatch);
    const netfs::MonoTime small = Clock::system().now();
    for (uint64_t i = 0; i < 200; ++i) must(engine->commit({entry(i * 7919 % count)}), "commit");
    fmt::print(", commit of one {:.2f} ms\n", seconds_since(small) * 1000 / 200);
  }
  fmt::print("         {:.0f} bytes a name\n",
             static_cast<double>(bytes_on_disk(directory)) / static_cast<double>(count));
  std::unique_ptr<Engine> engine = make(name);
  const long before = memory_kib("RssAnon:");
  netfs::MonoTime began = Clock::system().now();
  must(engine->open(directory), "open again");
  std::string value;
  must(engine->get(entry(1).key, &value), "first get");
  fmt::print("         open and first look-up {:.1f} ms", seconds_since(began) * 1000);
  std::mt19937_64 random(1);
  const int gets = 200000;
  std::vector<std::string> keys;
  for (int i = 0; i < gets; ++i) keys.push_back(entry(random() % count).key);
  for (int i = 0; i < gets / 4; ++i) must(engine->get(keys[i], &value), "warm get");
  began = Clock::system().now();
  for (const std::string& key : keys) must(engine->get(key, &value), "get");
  fmt::print(", random look-up {:.0f} ns", seconds_since(began) * 1e9 / gets);
  began = Clock::system().now();
  uint64_t seen = 0;
  must(engine->scan([&](std::string_view, std::string_view) { ++seen; }), "scan");
  fmt::print(", scan {:.0f} ns a name ({} seen)\n",
             seconds_since(began) * 1e9 / static_cast<double>(count), seen);
  keys.clear();
  keys.shrink_to_fit();
  fmt::print("         memory: heap grew {} MiB, mapped files {} MiB\n",
             (memory_kib("RssAnon:") - before) / 1024, memory_kib("RssFile:") / 1024);
}

// Damages one place of a copy, then a child opens it, gets every name, scans and writes.
std::string try_damaged(const std::string& name, const std::string& directory, uint64_t count) {
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    std::unique_ptr<Engine> engine = make(name);
    bool error = !engine->open(directory).empty();
    bool wrong = false, missing = false;
    std::string value;
    for (uint64_t i = 0; !error && i < count; ++i) {
      const Pair right = entry(i);
      const std::string said = engine->get(right.key, &value);
      if (said.empty()) {
        wrong |= !sound(right.key, value);
      } else if (said.find("ot found") != said.npos || said.find("NotFound") != said.npos) {
        missing = true;
      } else {
        error = true;
      }
    }
    if (!error) error = !engine->scan([](std::string_view, std::string_view) {}).empty();
    if (!error) error = !engine->commit({entry(count + 1), entry(count / 2)}).empty();
    _exit(error ? 10 : wrong ? 11 : missing ? 12 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  switch (WEXITSTATUS(status)) {
    case 0:
      return "not noticed (unused place)";
    case 10:
      return "error";
    case 11:
      return "wrong record, found by our CRC";
    case 12:
      return "record missing, no error";
    default:
      return fmt::format("exit {}", WEXITSTATUS(status));
  }
}

void damage(const std::string& name, const std::string& directory, uint64_t count) {
  namespace fs = std::filesystem;
  const std::string whole = directory + "/whole", copy = directory + "/copy";
  fs::create_directory(whole);
  {
    std::unique_ptr<Engine> engine = make(name);
    must(engine->open(whole), "open");
    fill(*engine, 0, count);
    must(engine->flush_all(), "flush");
  }
  std::mt19937_64 random(2);
  for (const char* kind : {"flipped bit", "zeroed page", "torn page", "cut short"}) {
    std::map<std::string, int> verdicts;
    for (int round = 0; round < 60; ++round) {
      fs::remove_all(copy);
      fs::copy(whole, copy);
      fs::path victim;
      uintmax_t largest = 0;
      for (const auto& file : fs::directory_iterator(copy)) {
        if (file.file_size() > largest) victim = file.path(), largest = file.file_size();
      }
      const uint64_t page = random() % (largest / 4096) * 4096;
      std::fstream file(victim, std::ios::in | std::ios::out | std::ios::binary);
      std::string bytes(4096, '\0'), other(4096, '\0');
      file.seekg(static_cast<std::streamoff>(page)).read(bytes.data(), 4096);
      file.seekg(static_cast<std::streamoff>(random() % (largest / 4096) * 4096));
      file.read(other.data(), 4096);
      const std::string kind_name = kind;
      if (kind_name == "flipped bit")
        bytes[random() % 4096] ^= static_cast<char>(1 << random() % 8);
      if (kind_name == "zeroed page") bytes.assign(4096, '\0');
      if (kind_name == "torn page") bytes.replace(512, 3584, other.substr(512));
      file.seekp(static_cast<std::streamoff>(page)).write(bytes.data(), 4096);
      file.close();
      if (kind_name == "cut short") fs::resize_file(victim, page);
      ++verdicts[try_damaged(name, copy, count)];
    }
    fmt::print("{:8} {:12}:", name, kind);
    for (const auto& [verdict, times] : verdicts) fmt::print("  {} x {}", times, verdict);
    fmt::print("\n");
  }
}

// A child reads and writes; this process freezes the file system under it and counts.
void freeze(const std::string& name, const std::string& directory, uint64_t count) {
  struct Shared {
    std::atomic<uint64_t> reads, writes;
    std::atomic<bool> ready, stop;
  };
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = fork();
  if (child == 0) {
    std::unique_ptr<Engine> engine = make(name);
    must(engine->open(directory), "open");
    fill(*engine, 0, count);
    netfs::sync::Thread writer("writer", [&] {
      for (uint64_t i = count; !shared->stop; ++i, ++shared->writes) {
        must(engine->commit({entry(i)}), "commit");
      }
    });
    shared->ready = true;
    std::string value;
    std::mt19937_64 random(3);
    while (!shared->stop) {
      must(engine->get(entry(random() % count).key, &value), "get");
      ++shared->reads;
    }
    writer.join();
    _exit(0);
  }
  while (!shared->ready) usleep(10000);
  usleep(300000);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (ioctl(fd, FIFREEZE, 0) != 0) fmt::print(stderr, "cannot freeze {}\n", directory);
  usleep(200000);
  const uint64_t reads = shared->reads, writes = shared->writes;
  usleep(2000000);
  const uint64_t reads_frozen = shared->reads - reads, writes_frozen = shared->writes - writes;
  ioctl(fd, FITHAW, 0);
  shared->stop = true;
  int status = 0;
  waitpid(child, &status, 0);
  fmt::print("{:8} frozen for 2 s: {} reads, {} commits went through\n", name, reads_frozen,
             writes_frozen);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: {} speed|damage|freeze lmdb|sqlite|rocksdb DIRECTORY COUNT\n",
               argv[0]);
    return 2;
  }
  const std::string what = argv[1], directory = argv[3];
  const uint64_t count = std::stoull(argv[4]);
  if (what == "speed") speed(argv[2], directory, count);
  if (what == "damage") damage(argv[2], directory, count);
  if (what == "freeze") freeze(argv[2], directory, count);
  return 0;
}
