// READ: of a file that this process serves.

#include <array>
#include <atomic>
#include <cerrno>
#include <sys/uio.h>

#include "vfs/file_system.h"

namespace netfs::vfs {

namespace {

void send(fuse::Reply& reply, Result<ReadResult> result) {
  if (!result.ok()) return reply.error(result.code());
  const std::vector<BufferSlice>& slices = result.value().slices;
  std::array<iovec, fuse::Reply::kGatherMax> pieces;
  NETFS_ASSERT(slices.size() <= pieces.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    const std::span<const std::byte> bytes = slices[i].bytes();
    pieces[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  }
  reply.gather(std::span(pieces.data(), slices.size()));
}

}  // namespace

// A read that the library answers at once never becomes pending: the reply is answered within.
void FileSystem::read_file(const Ref<File>& file, ReadStream* stream, ByteRange range,
                           fuse::Reply reply) {
  struct Reading : RefCounted<Reading> {
    explicit Reading(fuse::Reply r) : reply(std::move(r)) {}
    fuse::Reply reply;  // until it is done at once or becomes pending
    std::atomic<int> state{kBegun};
    Ref<Pending> pending;  // once state is kPending
    Result<ReadResult> result = ReadResult{};
    enum { kBegun, kDone, kPending };
  };
  const Ref<Reading> reading = make_ref<Reading>(std::move(reply));
  const sync::Context& context = reading->reply.context();
  file->read(stream, range, context, [reading](Result<ReadResult> result) {
    reading->result = std::move(result);
    int begun = Reading::kBegun;
    // Done before read() returned: whoever called it answers.
    if (reading->state.compare_exchange_strong(begun, Reading::kDone)) return;
    reading->pending->answer([&](fuse::Reply& to) { send(to, std::move(reading->result)); });
  });
  if (reading->state.load() == Reading::kDone) {
    return send(reading->reply, std::move(reading->result));
  }
  reading->pending = pending_.add(std::move(reading->reply));
  int begun = Reading::kBegun;
  if (reading->state.compare_exchange_strong(begun, Reading::kPending)) return;
  reading->pending->answer([&](fuse::Reply& to) { send(to, std::move(reading->result)); });
}

void FileSystem::read(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::ReadRequest>(request.body);
  const fuse::NodeId id = request.header.node;
  Ref<File> file;
  ReadStream* stream = nullptr;
  int error = 0;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Handle* handle = table_.handle(wanted.handle)) {
      file = handle->file;
      stream = handle->stream.get();
      if (!file) error = EIO;  // handed out: the kernel reads it by itself
    } else if (wanted.handle.value != 0) {
      error = ESTALE;  // of a process before this one
    } else if (Node* node = table_.find(id); node == nullptr) {
      error = ESTALE;
    } else if (node->file) {  // an immutable mount: reads come without an open
      if (!node->stream) node->stream = node->file->open_stream();
      file = node->file;
      stream = node->stream.get();
    }
  }
  if (error != 0) return reply.error(error);
  if (file) return read_file(file, stream, wanted.range, std::move(reply));

  // The first read without an open: a worker prepares the file.
  Ref<Pending> pending = pending_.add(std::move(reply));
  const ByteRange range = wanted.range;
  on_worker([this, id, range, pending] {
    const Result<void> ready = prepare_file(id);
    if (!ready.ok()) return pending->error(ready.code());
    Ref<File> prepared;
    ReadStream* own_stream = nullptr;
    Graveyard graveyard;
    {
      sync::MutexLock lock(table_.mutex);
      if (Node* node = table_.find(id); node != nullptr && node->file) {
        if (!node->stream) node->stream = node->file->open_stream();
        prepared = node->file;
        own_stream = node->stream.get();
        table_.keep_idle_file(*node, graveyard);
      }
    }
    bury(std::move(graveyard));
    if (!prepared) return pending->error(ESTALE);
    prepared->read(own_stream, range, pending->context(), [pending](Result<ReadResult> result) {
      pending->answer([&](fuse::Reply& to) { send(to, std::move(result)); });
    });
  });
}

}  // namespace netfs::vfs
