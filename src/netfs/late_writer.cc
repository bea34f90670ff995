#include "netfs/late_writer.h"

#include <cerrno>

namespace netfs {

Result<OriginWriter*> LateWriter::reach(Deadline deadline) {
  OriginWriter* writer = TRY(origin_.reach(deadline))->writer();
  if (writer == nullptr) return Error(EROFS, "origin.write");
  return writer;
}

Result<NodeInfo> LateWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  return TRY(reach(deadline))->make(path, what, deadline);
}

Result<OpenedFile> LateWriter::create(const std::string& path, const NewNode& what,
                                      Deadline deadline) {
  return TRY(reach(deadline))->create(path, what, deadline);
}

Result<NodeInfo> LateWriter::finish(const std::string& path, const NewNode& what,
                                    Deadline deadline) {
  return TRY(reach(deadline))->finish(path, what, deadline);
}

Result<OpenedFile> LateWriter::take_over(UniqueFd descriptor, Deadline deadline) {
  return TRY(reach(deadline))->take_over(std::move(descriptor), deadline);
}

Result<OpenedFile> LateWriter::open_for_writing(const std::string& path, Deadline deadline) {
  return TRY(reach(deadline))->open_for_writing(path, deadline);
}

Result<void> LateWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  return TRY(reach(deadline))->remove(path, kind, deadline);
}

Result<void> LateWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                Deadline deadline) {
  return TRY(reach(deadline))->rename(from, to, how, deadline);
}

Result<OpenedFile> LateWriter::create_nameless(const std::string& directory, const NewNode& what,
                                               Deadline deadline) {
  return TRY(reach(deadline))->create_nameless(directory, what, deadline);
}

Result<NodeInfo> LateWriter::link(const FileAt& from, const std::string& to, Deadline deadline) {
  return TRY(reach(deadline))->link(from, to, deadline);
}

Result<Seen> LateWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                        Deadline deadline) {
  return TRY(reach(deadline))->set_attributes(file, change, deadline);
}

// To a file that the origin has opened: it is there.
void LateWriter::issue_write(WriteSubrequest& subrequest) {
  origin_.there_.load()->writer()->issue_write(subrequest);
}

Result<void> LateWriter::sync(const FileAt& file, SyncKind kind, Deadline deadline) {
  return TRY(reach(deadline))->sync(file, kind, deadline);
}

Result<void> LateWriter::sync_all(Deadline deadline) {
  return TRY(reach(deadline))->sync_all(deadline);
}

Result<Seen> LateWriter::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                  Deadline deadline) {
  return TRY(reach(deadline))->allocate(file, mode, range, deadline);
}

Result<uint64_t> LateWriter::seek(const FileAt& file, SeekFor what, uint64_t offset,
                                  Deadline deadline) {
  return TRY(reach(deadline))->seek(file, what, offset, deadline);
}

Result<Copied> LateWriter::copy(const FileAt& from, OriginFile& to, const Copying& what,
                                Deadline deadline) {
  return TRY(reach(deadline))->copy(from, to, what, deadline);
}

Result<std::string> LateWriter::get_xattr(const FileAt& file, const std::string& name,
                                          Deadline deadline) {
  return TRY(reach(deadline))->get_xattr(file, name, deadline);
}

Result<std::vector<std::string>> LateWriter::list_xattrs(const FileAt& file, Deadline deadline) {
  return TRY(reach(deadline))->list_xattrs(file, deadline);
}

Result<Seen> LateWriter::set_xattr(const FileAt& file, const std::string& name,
                                   const std::string& value, uint32_t flags, Deadline deadline) {
  return TRY(reach(deadline))->set_xattr(file, name, value, flags, deadline);
}

Result<Seen> LateWriter::remove_xattr(const FileAt& file, const std::string& name,
                                      Deadline deadline) {
  return TRY(reach(deadline))->remove_xattr(file, name, deadline);
}

}  // namespace netfs
