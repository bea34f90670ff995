// HelloOrigin read through libnetfs, without a mount: slicing, readahead and retry come with it.
//
//   hello_read            prints the file `squares`

#include <cstdio>
#include <optional>

#include "base/assert.h"
#include "examples/hello_origin.h"
#include "netfs/library.h"
#include "netfs/read_stream.h"
#include "sync/cond_var.h"

namespace {

using namespace netfs;  // NOLINT: an example

Result<void> print_squares() {
  hello::HelloOrigin origin;
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
  if (!printed.ok()) std::fprintf(stderr, "hello_read: %s\n", printed.error().message().c_str());
  return printed.ok() ? 0 : 1;
}
