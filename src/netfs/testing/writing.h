#pragma once
// Writes that wait for their answers: what tests of the writing side begin with.

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "netfs/testing/reading.h"
#include "netfs/tree_writer.h"

namespace netfs {

class PendingWrite {
 public:
  PendingWrite() : state_(std::make_shared<State>()) {}
  [[nodiscard]] WriteDone callback() const {
    return [state = state_](Result<Written> result) {
      sync::MutexLock lock(state->mutex);
      NETFS_ASSERT(!state->result);
      state->result.emplace(std::move(result));
      state->changed.notify_all();
    };
  }
  [[nodiscard]] bool done() const {
    sync::MutexLock lock(state_->mutex);
    return state_->result.has_value();
  }
  [[nodiscard]] Result<Written> take() const {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    sync::MutexLock lock(state_->mutex);
    while (!state_->result) {
      if (!state_->changed.wait_until(state_->mutex, until)) return Error(ETIME, "test.write");
    }
    return *state_->result;
  }

 private:
  struct State {
    sync::Mutex mutex{kSimulatedOriginLock};
    sync::CondVar changed;
    std::optional<Result<Written>> result GUARDED_BY(mutex);
  };
  std::shared_ptr<State> state_;
};

inline PendingWrite begin_write(LibraryFixture& fixture, WritableFile& file, uint64_t offset,
                                const std::string& bytes,
                                WritePieces pieces = WritePieces::kTogether) {
  Ref<Buffer> buffer = fixture.pool.allocate_for_reader(bytes.size());
  std::memcpy(buffer->writable().data(), bytes.data(), bytes.size());
  PendingWrite pending;
  file.write({offset, bytes.size()}, {std::move(buffer), 0, bytes.size()}, pieces, {},
             pending.callback());
  return pending;
}

inline Result<uint64_t> write(LibraryFixture& fixture, WritableFile& file, uint64_t offset,
                              const std::string& bytes,
                              WritePieces pieces = WritePieces::kTogether) {
  const Result<Written> written = begin_write(fixture, file, offset, bytes, pieces).take();
  if (!written.ok()) return written.error();
  return written.value().bytes;
}

inline Ref<WritableFile> open_for_writing(LibraryFixture& fixture, const std::string& path,
                                          Ref<File> before = nullptr) {
  return MUST(fixture.library->writer()->open(path, std::move(before), Deadline::never())).file;
}

inline constexpr uint64_t kPiece = 64 << 10;

inline LibraryFixture::Options write_behind(uint64_t bytes = 8 << 20) {
  LibraryFixture::Options options;
  options.origin.write = WriteCapabilities{.write_bytes_max = kPiece};
  options.write_behind_bytes = bytes;
  return options;
}

inline Deadline soon() {
  return Deadline::after(Clock::system(), std::chrono::seconds(60));
}

// Writes are not answered until hold_no_more(): then they are tried again.
inline void hold(LibraryFixture& fixture) {
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
}
inline void hold_no_more(LibraryFixture& fixture) {
  fixture.origin.set_write_fault(nullptr);
  fixture.origin.release_hung();
}

inline bool settle(WritableFile& file) {
  const PendingWrite settled;
  file.settle([done = settled.callback()]() mutable { done(Written{}); });
  return settled.take().ok();
}

}  // namespace netfs
