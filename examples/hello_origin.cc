// An origin of one's own in sixty lines: a tree of generated files, read through libnetfs.
//
//   hello_origin            prints /squares, through slicing, readahead and retry
//
// Five short functions are all that a simple origin is: stat, list, open, read, volume_key.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/assert.h"
#include "netfs/blocking_origin.h"
#include "netfs/library.h"
#include "netfs/read_stream.h"
#include "sync/cond_var.h"

namespace {

using namespace netfs;  // NOLINT: an example

class HelloOrigin final : public BlockingOrigin {
 public:
  HelloOrigin() : BlockingOrigin({.name = "hello", .threads = 2}) {
    for (int i = 1; i <= 100; ++i) {
      squares_ += std::to_string(i) + " squared is " + std::to_string(i * i) + "\n";
    }
  }
  ~HelloOrigin() override { stop(); }

  [[nodiscard]] std::string volume_key() const override { return "hello:"; }

  Result<NodeInfo> stat(const std::string& path, Deadline /*deadline*/) override {
    NodeInfo info;
    info.attributes.type = path.empty() ? FileType::kDirectory : FileType::kRegular;
    info.attributes.permissions = path.empty() ? 0555 : 0444;
    if (!path.empty() && path != "squares") return Error(ENOENT, "hello.stat");
    if (!path.empty()) info.attributes.size_bytes = squares_.size();
    info.validator = {.strength = ValidatorStrength::kStrong, .bytes = "1"};  // never changes
    return info;
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    if (!path.empty()) return Error(ENOTDIR, "hello.list");
    return sink({.name = "squares", .info = TRY(stat("squares", deadline))});
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& /*path*/,
                                           Deadline /*deadline*/) override {
    return std::make_unique<OriginFile>();
  }
  Result<uint64_t> read(OriginFile& /*file*/, uint64_t offset_bytes, std::span<std::byte> to,
                        Deadline /*deadline*/) override {
    if (offset_bytes >= squares_.size()) return uint64_t{0};
    const size_t count = std::min(to.size(), squares_.size() - offset_bytes);
    std::memcpy(to.data(), squares_.data() + offset_bytes, count);
    return uint64_t{count};
  }

 private:
  std::string squares_;
};

Result<void> print_squares() {
  HelloOrigin origin;
  BufferPool pool(size_t{16} << 20, size_t{1} << 20);
  auto library = TRY(Library::create({.origin = origin, .pool = pool}));
  const NodeInfo info = TRY(origin.stat("squares", Deadline::never()));
  const Ref<File> file = TRY(library->open(
      {.path = "squares", .validator = info.validator, .size_bytes = info.attributes.size_bytes}));
  // Reads are answered from any thread; close() waits until all are.
  sync::LockClass lock_class("hello.answer");
  sync::Mutex mutex(lock_class);
  sync::CondVar answered;
  std::optional<Result<ReadResult>> answer;
  file->read(nullptr, {0, info.attributes.size_bytes}, {}, [&](Result<ReadResult> result) {
    sync::MutexLock lock(mutex);
    answer.emplace(std::move(result));
    answered.notify_all();
  });
  sync::MutexLock lock(mutex);
  while (!answer) answered.wait(mutex);
  for (const BufferSlice& slice : TRY(std::move(*answer)).slices) {
    std::fwrite(slice.bytes().data(), 1, slice.length_bytes, stdout);
  }
  return {};
}

}  // namespace

int main() {
  const Result<void> printed = print_squares();
  if (!printed.ok()) std::fprintf(stderr, "hello_origin: %s\n", printed.error().message().c_str());
  return printed.ok() ? 0 : 1;
}
