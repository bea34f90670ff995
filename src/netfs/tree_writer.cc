#include "netfs/tree_writer.h"

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "netfs/live_file.h"

namespace netfs {

namespace {

Witnessed witness(Seen seen, const Validator& known) {
  Witnessed witnessed;
  witnessed.foreign = seen.before && !(*seen.before == known);
  witnessed.info = std::move(seen.after);
  return witnessed;
}

// Whether it was carried out, or nobody knows.
template <class T>
bool may_be_done(const Result<T>& result) {
  return result.ok() || result.is_error(ETIMEDOUT) || result.is_error(ENOTCONN);
}

FileVersion version_of(const std::string& path, const NodeInfo& info) {
  return {.path = path,
          .identity = info.identity.empty() ? path : info.identity,
          .validator = info.validator,
          .size_bytes = info.attributes.size_bytes};
}

}  // namespace

TreeWriter::TreeWriter(Ref<LibraryCore> core, OriginWriter& writer)
    : core_(std::move(core)), writer_(writer) {}

Ref<Buffer> TreeWriter::buffer(size_t bytes) {
  (void)core_->make_room(bytes);
  return core_->options.pool.allocate_for_reader(bytes);
}

template <class T>
Result<T> TreeWriter::count(Result<T> result) {
  core_->stats.changes.issued.add();
  (result.ok() ? core_->stats.changes.done : core_->stats.changes.failed).add();
  return result;
}

Result<TreeWriter::Opened> TreeWriter::take(const std::string& path, Result<OpenedFile> opened,
                                            Ref<File> before) {
  if (!opened.ok()) return std::move(opened).error();
  OpenedFile file = std::move(opened).value();
  NodeInfo info = file.info;
  std::optional<NodeInfo> directory = std::move(file.directory);
  FileVersion version = version_of(path, info);
  return Opened{make_ref<LiveFile>(core_, writer_, std::move(version), std::move(file), nullptr,
                                   std::move(before)),
                std::move(info), std::move(directory)};
}

Result<TreeWriter::Opened> TreeWriter::create(const std::string& path, const NewNode& what,
                                              Deadline deadline) {
  Result<OpenedFile> made = count(writer_.create(path, what, deadline));
  // Files that were here before may have had the validator that this one will get.
  if (may_be_done(made)) core_->forget_stored(path, ForgetScope::kFile);
  return take(path, std::move(made), nullptr);
}

Result<TreeWriter::Opened> TreeWriter::create_nameless(const std::string& directory,
                                                       const NewNode& what, Deadline deadline) {
  return take(directory, count(writer_.create_nameless(directory, what, deadline)), nullptr);
}

Result<TreeWriter::Opened> TreeWriter::open(const std::string& path, Ref<File> before,
                                            Deadline deadline) {
  return take(path, writer_.open_for_writing(path, deadline), std::move(before));
}

Result<TreeWriter::Opened> TreeWriter::hold(const std::string& path, Deadline deadline) {
  std::unique_ptr<OriginFile> reader = TRY(core_->options.origin.open(path, deadline));
  NodeInfo info = TRY(core_->options.origin.stat(path, deadline));
  FileVersion version = version_of(path, info);
  return Opened{make_ref<LiveFile>(core_, writer_, std::move(version), OpenedFile{},
                                   std::move(reader), nullptr),
                std::move(info)};
}

Result<TreeWriter::Opened> TreeWriter::take_over(const std::string& path, UniqueFd descriptor,
                                                 Deadline deadline) {
  const int flags = ::fcntl(descriptor.get(), F_GETFL);
  if (flags < 0) return Error::from_errno("writer.take_over");
  Result<OpenedFile> taken = writer_.take_over(std::move(descriptor), deadline);
  if (!taken.ok() || (flags & O_ACCMODE) != O_RDONLY) return take(path, std::move(taken), nullptr);
  NodeInfo info = std::move(taken.value().info);
  FileVersion version = version_of(path, info);
  return Opened{make_ref<LiveFile>(core_, writer_, std::move(version), OpenedFile{},
                                   std::move(taken.value().file), nullptr),
                std::move(info)};
}

Result<NodeInfo> TreeWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  Result<NodeInfo> made = count(writer_.make(path, what, deadline));
  if (may_be_done(made)) core_->forget_stored(path, ForgetScope::kFile);
  return made;
}

Result<void> TreeWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  Result<void> removed = count(writer_.remove(path, kind, deadline));
  if (may_be_done(removed) && kind == RemoveKind::kFile) {
    core_->forget_stored(path, ForgetScope::kFile);
  }
  return removed;
}

Result<void> TreeWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                ForgetScope what, Deadline deadline) {
  Result<void> renamed = count(writer_.rename(from, to, how, deadline));
  if (!may_be_done(renamed)) return renamed;
  // Of both, and of what is beneath: what is stored of a path is another file's now.
  core_->forget_stored(from, what);
  core_->forget_stored(to, what);
  return renamed;
}

Result<bool> TreeWriter::replace(const std::string& from, const std::string& to,
                                 const std::string& kept, Deadline deadline) {
  Result<bool> replaced = count(writer_.replace(from, to, kept, deadline));
  if (!may_be_done(replaced)) return replaced;
  for (const std::string& path : {from, to, kept}) core_->forget_stored(path, ForgetScope::kFile);
  return replaced;
}

Result<NodeInfo> TreeWriter::link(const std::string& from, const std::string& to,
                                  Deadline deadline) {
  Result<NodeInfo> linked = count(writer_.link({.path = from}, to, deadline));
  if (may_be_done(linked)) core_->forget_stored(to, ForgetScope::kFile);
  return linked;
}

Result<Witnessed> TreeWriter::set_attributes(const std::string& path, const AttributeChange& change,
                                             const Validator& known, Deadline deadline) {
  Result<Seen> seen = count(writer_.set_attributes({.path = path}, change, deadline));
  if (may_be_done(seen) && (change.size_bytes || change.mtime)) {
    core_->forget_stored(path, ForgetScope::kFile);
  }
  if (!seen.ok()) return std::move(seen).error();
  return witness(std::move(seen).value(), known);
}

Result<uint64_t> TreeWriter::seek(const FileRef& file, SeekFor what, uint64_t offset,
                                  Deadline deadline) {
  return writer_.seek(file.at(), what, offset, deadline);
}

Result<void> TreeWriter::sync(const std::string& path, SyncKind kind, Deadline deadline) {
  return writer_.sync({.path = path}, kind, deadline);
}

Result<void> TreeWriter::sync_all(Deadline deadline) {
  return writer_.sync_all(deadline);
}

bool TreeWriter::settle_all(Deadline deadline) {
  struct Latch : RefCounted<Latch> {
    sync::Mutex mutex{kDirtyFilesLatchLock};
    sync::CondVar changed;
    size_t waiting GUARDED_BY(mutex) = 0;
  };
  const Ref<Latch> latch = make_ref<Latch>();
  const std::vector<Ref<LiveFile>> files = core_->dirty.all();
  {
    sync::MutexLock lock(latch->mutex);
    latch->waiting = files.size();
  }
  for (const Ref<LiveFile>& file : files) {
    file->settle([latch] {
      sync::MutexLock lock(latch->mutex);
      if (--latch->waiting == 0) latch->changed.notify_all();
    });
  }
  uint64_t dirty = core_->stats.bytes_dirty.load();
  MonoTime until = std::min(core_->deadline().at, deadline.at);
  sync::MutexLock lock(latch->mutex);
  while (latch->waiting > 0) {
    if (latch->changed.wait_until(latch->mutex, until)) continue;
    const uint64_t left = core_->stats.bytes_dirty.load();
    lock.unlock();
    const bool held = std::any_of(files.begin(), files.end(), [&](const Ref<LiveFile>& file) {
      return file->held_until().value_or(MonoTime::min()) > core_->now();
    });
    lock.lock();
    if ((left >= dirty && !held) || deadline.passed(core_->now())) return latch->waiting == 0;
    dirty = left;
    until = std::min(core_->deadline().at, deadline.at);
  }
  return true;
}

void TreeWriter::give_up_all(const Error& error) {
  for (const Ref<LiveFile>& file : core_->dirty.all()) file->give_up(error);
}

Result<std::string> TreeWriter::get_xattr(const FileRef& file, const std::string& name,
                                          Deadline deadline) {
  return writer_.get_xattr(file.at(), name, deadline);
}

Result<std::vector<std::string>> TreeWriter::list_xattrs(const FileRef& file, Deadline deadline) {
  return writer_.list_xattrs(file.at(), deadline);
}

Result<Witnessed> TreeWriter::set_xattr(const FileRef& file, const std::string& name,
                                        const std::string& value, uint32_t flags,
                                        const Validator& known, Deadline deadline) {
  Result<Seen> seen = count(writer_.set_xattr(file.at(), name, value, flags, deadline));
  if (!seen.ok()) return std::move(seen).error();
  return witness(std::move(seen).value(), known);
}

Result<Witnessed> TreeWriter::remove_xattr(const FileRef& file, const std::string& name,
                                           const Validator& known, Deadline deadline) {
  Result<Seen> seen = count(writer_.remove_xattr(file.at(), name, deadline));
  if (!seen.ok()) return std::move(seen).error();
  return witness(std::move(seen).value(), known);
}

}  // namespace netfs
