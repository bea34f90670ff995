// READ: of a file that this process serves.
//
// A small read that the cache has is answered from the channel thread's own memory, any other is
// gathered from the library's buffers without a copy.  A read that the library answers at once
// never becomes pending; one that waits does, and outlives its asker: when he is
// interrupted the read goes on, and what it brings is stored.

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sys/uio.h>
#include <utility>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Up to here the cost of a read is more than that of its bytes.
constexpr size_t kAtOnceBytesMax = 64 << 10;
constexpr size_t kPageBytes = 4096;

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// Where a channel thread puts the bytes of the read that it answers.
std::span<std::byte> thread_memory() {
  thread_local const std::unique_ptr<std::byte, FreeMemory> memory(
      static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kAtOnceBytesMax)));
  NETFS_ASSERT(memory != nullptr);  // as for any allocation: no memory ends the process
  return {memory.get(), kAtOnceBytesMax};
}

void gather(fuse::Reply& reply, const std::vector<BufferSlice>& slices) {
  // A megabyte in blocks of 4 KiB and more, cut at both ends.
  std::array<iovec, fuse::Reply::kGatherMax> pieces;
  NETFS_ASSERT(slices.size() <= pieces.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    const std::span<const std::byte> bytes = slices[i].bytes();
    pieces[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  }
  reply.gather(std::span(pieces.data(), slices.size()));
}

}  // namespace

void FileSystem::send_read(fuse::NodeId id, fuse::Reply& reply, Result<ReadResult> result) {
  if (result.ok()) return gather(reply, result.value().slices);
  if (result.is_error(ESTALE)) {
    // The origin has another version: whoever opens the file next asks it.
    fuse::NodeId directory{};
    {
      sync::MutexLock lock(table_.mutex);
      Node* node = table_.find(id);
      if (node != nullptr) node->doubted = true;
      if (node != nullptr && InodeTable::is_current(*node)) directory = table_.id(*node->parent);
    }
    if (directory.value != 0) outdate_names(directory);
  }
  reply.error(result.code());
}

// One read on its way; answered by whoever is second: the library with its result, or the thread
// that asked and made the request pending.
struct FileSystem::Reading : RefCounted<Reading> {
  enum State : int { kBegun, kDone, kPending };

  explicit Reading(fuse::Reply r) : reply(std::move(r)) {}

  fuse::Reply reply;  // until it is done at once or becomes pending
  std::atomic<int> state{kBegun};
  Ref<Pending> pending;  // once state is kPending
  Result<ReadResult> result = ReadResult{};
};

// Answers a small read that the cache has, from memory of this thread: nothing is allocated and
// nothing is shared with other threads.  False: not answered.
bool FileSystem::read_at_once(const ReadPlace& place, ByteRange range, fuse::Reply& reply) {
  if (range.length_bytes > kAtOnceBytesMax) return false;
  const std::span<std::byte> memory = thread_memory();
  const std::optional<size_t> length =
      place.file->read_at_once(place.stream->stream.get(), range, memory);
  if (!length) return false;
  reply.data(memory.first(*length));
  return true;
}

void FileSystem::read_file(ReadPlace place, ByteRange range, fuse::Reply reply) {
  give_stream(place);
  if (read_at_once(place, range, reply)) return;
  const Ref<Reading> reading = make_ref<Reading>(std::move(reply));
  const sync::Context& context = reading->reply.context();
  const fuse::NodeId id = place.node;
  // The answer may close the handle while read() still runs: `place` keeps file and stream.
  place.file->read(place.stream->stream.get(), range, context,
                   [this, id, reading](Result<ReadResult> result) {
                     reading->result = std::move(result);
                     int begun = Reading::kBegun;
                     if (reading->state.compare_exchange_strong(begun, Reading::kDone)) return;
                     reading->pending->answer(
                         [&](fuse::Reply& to) { send_read(id, to, std::move(reading->result)); });
                   });
  if (reading->state.load() == Reading::kDone) {
    return send_read(id, reading->reply, std::move(reading->result));
  }
  reading->pending = pending_.add(std::move(reading->reply));
  int begun = Reading::kBegun;
  if (reading->state.compare_exchange_strong(begun, Reading::kPending)) return;
  reading->pending->answer([&](fuse::Reply& to) { send_read(id, to, std::move(reading->result)); });
}

void FileSystem::read_later(ReadPlace place, ByteRange range, Ref<Pending> pending) {
  give_stream(place);
  const sync::Context& context = pending->context();
  const Ref<File> file = place.file;
  ReadStream* stream = place.stream->stream.get();
  file->read(stream, range, context, [this, place, range, pending](Result<ReadResult> result) {
    // A change of ours, an own write or a rename, may have taken the version from under it.
    const bool again = result.is_error(ESTALE) && writer_ != nullptr &&
                       place.attempt < kMovedLooksMax && clock_.now() < place.until && !stopping_;
    if (again) return read_again(place, range, pending);
    pending->answer([&](fuse::Reply& to) { send_read(place.node, to, std::move(result)); });
  });
}

// The file as it is once the changes under way are known, if it is another one then.
void FileSystem::read_again(ReadPlace place, ByteRange range, const Ref<Pending>& pending) {
  after_name_changes([this, place = std::move(place), range, pending]() mutable {
    sync::ContextScope scope(pending->context());
    read_renewed(std::move(place), range, std::move(pending));
  });
}

void FileSystem::read_renewed(ReadPlace place, ByteRange range, Ref<Pending> pending) {
  const bool moved = name_changes_.any_since(place.began);
  place.began = name_changes_.now();
  Result<Ref<File>> file = ready_file(place.node);
  bool other = file.ok() && !(file.value() == place.file);
  // What a change of ours moved is found by and by.  Else the very version is read once more, in
  // case it was given up by mistake; then others have changed it.
  if (other && !moved) {
    const FileVersion& was = place.file->version();
    const FileVersion& is = file.value()->version();
    const bool same = was.path == is.path && was.validator == is.validator;
    if (same && std::exchange(place.tried_again, true)) other = false;
  }
  if (!other) {
    return pending->answer([&](fuse::Reply& to) {
      send_read(place.node, to, Error(file.ok() ? ESTALE : file.code(), "vfs.read"));
    });
  }
  ++place.attempt;
  place.file = std::move(file).value();
  place.stream = nullptr;
  read_later(std::move(place), range, std::move(pending));
}

// What reads of a node go to; null: nothing is ready.
Ref<File> FileSystem::file_to_read(const Node& node) {
  if (!node.open) return nullptr;
  const bool live = node.is_live() && (node.open->live->changed() || !InodeTable::is_current(node));
  return live ? Ref<File>(node.open->live) : node.open->file;
}

// A detector of access patterns a handle; of reads without one, a node.
void FileSystem::give_stream(ReadPlace& place) {
  if (place.stream) return;
  Ref<SharedStream> made = make_ref<SharedStream>(place.file->open_stream());
  sync::MutexLock lock(table_.mutex);
  Handle* handle = table_.handle(place.handle);
  Node* node = handle != nullptr ? handle->node : table_.find(place.node);
  Ref<SharedStream>* slot = nullptr;
  if (handle != nullptr) {
    slot = &handle->stream;
  } else if (node != nullptr && node->open && node->open->file) {
    slot = &node->open->stream;
  }
  if (slot != nullptr && !*slot) *slot = made;
  place.stream = slot != nullptr ? *slot : std::move(made);
}

Result<ReadPlace> FileSystem::find_place(const fuse::Request& request) {
  const auto& wanted = std::get<fuse::ReadRequest>(request.body);
  ReadPlace place{.handle = wanted.handle, .until = clock_.now() + options_.timeout};
  if (writer_ != nullptr) place.began = name_changes_.now();
  Graveyard graveyard;
  Node* node = nullptr;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Handle* handle = table_.handle(wanted.handle)) {
      node = handle->node;
      place.stream = handle->stream;
    } else if (wanted.handle.value == 0) {  // a mount that needs no open
      node = table_.find(request.header.node);
      if (node != nullptr && node->open) place.stream = node->open->stream;
    }
    // Else a handle of a process before this one, or one whose record is damaged.
    if (node == nullptr || table_.id(*node) != request.header.node) {
      return Error(ESTALE, "vfs.read");
    }
    if (node->attributes.type != FileType::kRegular) return Error(EISDIR, "vfs.read");
    place.node = table_.id(*node);
    place.begins =
        wanted.handle.value == 0 && wanted.range.offset_bytes == 0 && files_ahead_.watches(*node);
    files_ahead_.asked(place.node);
    place.file = file_to_read(*node);
    if (writer_ != nullptr) node->open_state().was_read = true;
    if (hides_changes(*node)) node->seldom_part().pages_doubted = true;
    table_.touch_file(*node, graveyard);
  }
  bury(std::move(graveyard));
  return place;
}

void FileSystem::read(const fuse::Request& request, fuse::Reply reply) {
  const ByteRange range = std::get<fuse::ReadRequest>(request.body).range;
  Result<ReadPlace> found = find_place(request);
  if (!found.ok()) return reply.error(found.code());
  ReadPlace place = std::move(found).value();
  if (place.begins) note_opened(place.node);  // no open told
  if (place.file && writer_ == nullptr) {
    return read_file(std::move(place), range, std::move(reply));
  }
  if (place.file) {
    give_stream(place);
    if (read_at_once(place, range, reply)) return;
    Ref<Pending> waiting = pending_.add(std::move(reply));
    return read_later(std::move(place), range, std::move(waiting));
  }

  // The first read of the file: a worker gets it ready.
  Ref<Pending> pending = pending_.add(std::move(reply));
  on_worker([this, place = std::move(place), range, pending]() mutable {
    Result<Ref<File>> file = ready_file(place.node);
    if (!file.ok()) return pending->error(file.code());
    place.file = std::move(file).value();
    read_later(std::move(place), range, std::move(pending));
  });
}

}  // namespace netfs::vfs
