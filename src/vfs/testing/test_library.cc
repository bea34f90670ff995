#include "vfs/testing/test_library.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace netfs::vfs {

class TestLibrary::TestFile final : public File {
 public:
  TestFile(TestLibrary& library, FileVersion version)
      : library_(library), version_(std::move(version)) {
    sync::MutexLock lock(library_.mutex_);
    ++library_.counts_.live_files;
    library_.may_give_up_.emplace(version_.path, given_up_);
  }
  ~TestFile() override {
    sync::MutexLock lock(library_.mutex_);
    --library_.counts_.live_files;
  }

  [[nodiscard]] const FileVersion& version() const override { return version_; }
  [[nodiscard]] std::unique_ptr<ReadStream> open_stream() override {
    return std::make_unique<ReadStream>();
  }

  void read(ReadStream* stream, ByteRange range, const sync::Context& context,
            ReadDone done) override {
    {
      sync::MutexLock lock(library_.mutex_);
      ++library_.counts_.reads;
      const bool held = context.holds(sync::kFuseFault) && stream != nullptr;
      library_.counts_.context_held = library_.counts_.context_held && held;
      if (library_.holding_) {
        library_.held_.push_back({Ref<File>(this), range, std::move(done)});
        library_.changed_.notify_all();
        while (library_.holding_callers_) library_.changed_.wait(library_.mutex_);
        return;
      }
    }
    done(library_.result_of(version_, range));
    (void)stream->note(range, {.file_bytes = version_.size_bytes});  // as the real one: it lives on
  }

  std::optional<size_t> read_at_once(ReadStream* stream, ByteRange range,
                                     std::span<std::byte> to) override {
    const std::optional<std::string> text = library_.cached_text(version_, range);
    if (!text) return std::nullopt;
    std::memcpy(to.data(), text->data(), text->size());
    (void)stream->note(range, {.file_bytes = version_.size_bytes});
    return text->size();
  }

  Result<UniqueFd> hand_out() override {
    if (!sealed()) return Error(EBUSY, "test.hand_out");
    UniqueFd fd(::memfd_create("netfs-test", MFD_CLOEXEC));
    if (!fd) return Error::from_errno("test.hand_out");
    sync::MutexLock lock(library_.mutex_);
    ++library_.counts_.hand_outs;
    return fd;
  }
  [[nodiscard]] bool sealed() const override {
    sync::MutexLock lock(library_.mutex_);
    return library_.sealed_.contains(version_.path);
  }
  [[nodiscard]] bool superseded() const override { return given_up_->load(); }
  void supersede() override {
    sync::MutexLock lock(library_.mutex_);
    ++library_.counts_.superseded;
  }
  void fill_holes() override {
    sync::MutexLock lock(library_.mutex_);
    ++library_.counts_.holes_filled;
  }

 private:
  TestLibrary& library_;
  const FileVersion version_;
  const Flag given_up_ = std::make_shared<std::atomic<bool>>(false);
};

void TestLibrary::put(const Validator& validator, std::string bytes) {
  sync::MutexLock lock(mutex_);
  contents_[validator.bytes] = std::move(bytes);
}

void TestLibrary::seal(const std::string& path) {
  sync::MutexLock lock(mutex_);
  sealed_.insert(path);
}

void TestLibrary::give_up(const std::string& path) {
  sync::MutexLock lock(mutex_);
  const auto [begin, end] = may_give_up_.equal_range(path);
  for (auto at = begin; at != end; ++at) *at->second = true;
  may_give_up_.erase(begin, end);
}

void TestLibrary::cache(const std::string& path) {
  sync::MutexLock lock(mutex_);
  cached_.insert(path);
}

std::optional<std::string> TestLibrary::cached_text(const FileVersion& version, ByteRange range) {
  sync::MutexLock lock(mutex_);
  const auto found = contents_.find(version.validator.bytes);
  if (!cached_.contains(version.path) || found == contents_.end()) return std::nullopt;
  ++counts_.reads_at_once;
  const ByteRange cut = range.intersect({0, found->second.size()});
  if (cut.empty()) return std::string();
  return found->second.substr(cut.offset_bytes, cut.length_bytes);
}

void TestLibrary::fail_reads(int error) {
  sync::MutexLock lock(mutex_);
  read_error_ = error;
}

void TestLibrary::hold_reads() {
  sync::MutexLock lock(mutex_);
  holding_ = true;
}

void TestLibrary::hold_callers() {
  sync::MutexLock lock(mutex_);
  holding_ = true;
  holding_callers_ = true;
}

void TestLibrary::let_return() {
  sync::MutexLock lock(mutex_);
  holding_callers_ = false;
  changed_.notify_all();
}

void TestLibrary::release_reads() {
  let_return();
  std::vector<HeldRead> held;
  {
    sync::MutexLock lock(mutex_);
    holding_ = false;
    held.swap(held_);
  }
  for (HeldRead& read : held) read.done(result_of(read.file->version(), read.range));
}

bool TestLibrary::wait_held_reads(size_t count) {
  const Deadline deadline = Deadline::after(Clock::system(), std::chrono::seconds(60));
  sync::MutexLock lock(mutex_);
  while (held_.size() < count) {
    if (!changed_.wait_until(mutex_, deadline.at)) return held_.size() >= count;
  }
  return true;
}

TestLibrary::Counts TestLibrary::counts() const {
  sync::MutexLock lock(mutex_);
  return counts_;
}

Result<Ref<File>> TestLibrary::open(FileVersion version) {
  {
    sync::MutexLock lock(mutex_);
    ++counts_.opens;
  }
  return Ref<File>(new TestFile(*this, std::move(version)));
}

Result<ReadResult> TestLibrary::result_of(const FileVersion& version, ByteRange range) {
  std::string text;
  {
    sync::MutexLock lock(mutex_);
    if (read_error_ != 0) return Error(read_error_, "test.read");
    const auto found = contents_.find(version.validator.bytes);
    if (found == contents_.end()) return Error(ESTALE, "test.read");
    const ByteRange cut = range.intersect({0, found->second.size()});
    if (!cut.empty()) text = found->second.substr(cut.offset_bytes, cut.length_bytes);
  }
  ReadResult result;
  if (text.empty()) return result;
  Ref<Buffer> buffer = pool_.allocate_for_reader(text.size());
  std::memcpy(buffer->writable().data(), text.data(), text.size());
  // Two pieces where that is possible, so that gathering is seen.
  const size_t half = text.size() / 2;
  if (half > 0) result.slices.push_back({buffer, 0, half});
  result.slices.push_back({buffer, half, text.size() - half});
  return result;
}

}  // namespace netfs::vfs
