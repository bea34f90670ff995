#pragma once
// TreeWriter: the writing side of a library: whatever a mount changes at its origin goes through
// here, so that no change passes the cache by.
//
// Each change is at the origin when its call returns, and its error is the origin's own; but for
// kept writes (writable_file.h).  What the cache holds of a path that changes is forgotten where it
// could be taken for the new file, and until that is done files of that path are opened without the
// cache.
//
// Thread-safe; part of its library.  All calls wait for the origin, until their deadline: for
// workers.
//
//   TreeWriter* writer = library.writer();   // null: the origin cannot be changed (EROFS)
//   const NodeInfo info = TRY(writer->make("a/b", {.type = FileType::kDirectory, ...}, deadline));

#include <optional>
#include <string>
#include <vector>

#include "netfs/library_core.h"
#include "netfs/origin_writer.h"
#include "netfs/writable_file.h"

namespace netfs {

class TreeWriter {
 public:
  TreeWriter(Ref<LibraryCore> core, OriginWriter& writer);

  [[nodiscard]] const WriteCapabilities& capabilities() const {
    return writer_.write_capabilities();
  }

  // Memory for a write: always there, as for a reader; the kernel bounds how many there are.
  [[nodiscard]] Ref<Buffer> buffer(size_t bytes);

  struct Opened {
    Ref<WritableFile> file;
    NodeInfo info;
    std::optional<NodeInfo> directory{};  // of a new one, if the origin told
  };
  // A new regular file, open for reading and writing: EEXIST.
  Result<Opened> create(const std::string& path, const NewNode& what, Deadline deadline);
  // The same without a name: EOPNOTSUPP.
  Result<Opened> create_nameless(const std::string& directory, const NewNode& what,
                                 Deadline deadline);
  // A file that is there, for writing.  `before` is the version that is being read here, or null;
  // it is superseded by the first change.
  Result<Opened> open(const std::string& path, Ref<File> before, Deadline deadline);
  // A file that is about to lose its name, to be read on by its handle.
  Result<Opened> hold(const std::string& path, Deadline deadline);

  // The file that a process before this one had open by a descriptor; `path`: as it was named.
  Result<Opened> take_over(const std::string& path, UniqueFd descriptor, Deadline deadline);

  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline);
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline);
  // `what`: kFile where neither is a directory: the cache then need not look at all it has.
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      ForgetScope what, Deadline deadline);
  // Of files; what had the name `to` gets `kept`: OriginWriter::replace().
  Result<bool> replace(const std::string& from, const std::string& to, const std::string& kept,
                       Deadline deadline);
  Result<NodeInfo> link(const std::string& from, const std::string& to, Deadline deadline);
  // Of a file that nobody has open for writing here; `known` is what was last seen of it.
  Result<Witnessed> set_attributes(const std::string& path, const AttributeChange& change,
                                   const Validator& known, Deadline deadline);
  Result<uint64_t> seek(const FileRef& file, SeekFor what, uint64_t offset, Deadline deadline);
  Result<void> sync(const std::string& path, SyncKind kind, Deadline deadline);
  Result<void> sync_all(Deadline deadline);

  // Waits until all writes that were kept before have landed or failed: until the deadline, and as
  // long as some land within the timeout or wait for a limit of bandwidth; false: no longer.
  bool settle_all(Deadline deadline);
  // Those that have not begun fail, and say so.
  void give_up_all(const Error& error);

  Result<std::string> get_xattr(const FileRef& file, const std::string& name, Deadline deadline);
  Result<std::vector<std::string>> list_xattrs(const FileRef& file, Deadline deadline);
  Result<Witnessed> set_xattr(const FileRef& file, const std::string& name,
                              const std::string& value, uint32_t flags, const Validator& known,
                              Deadline deadline);
  Result<Witnessed> remove_xattr(const FileRef& file, const std::string& name,
                                 const Validator& known, Deadline deadline);

 private:
  template <class T>
  Result<T> count(Result<T> result);
  Result<Opened> take(const std::string& path, Result<OpenedFile> opened, Ref<File> before);

  const Ref<LibraryCore> core_;
  OriginWriter& writer_;
};

}  // namespace netfs
