// What goes to the origin itself, behind all that is pending.

#include <algorithm>
#include <utility>

#include "journal/journaled_file.h"
#include "journal/journaled_writer.h"

namespace netfs::journal {

// Where it is when the origin has all of it.  What was seen of it is old when it is changed there.
// The time that the upload is held back by a limit of bandwidth does not count.
Result<FileAt> JournaledWriter::settled(const FileAt& file, Deadline& deadline) {
  const uint64_t upto = journal_.newest();
  for (Deadline until = deadline; !journal_.drain(upto, until);) {
    const MonoTime now = Clock::system().now();
    until = {std::min(journal_.upload_until(), now + journal_.options().timeout)};
    if (until.passed(now)) return Error(ETIMEDOUT, "journal.settled");
  }
  if (journal_.upload_until() != MonoTime::min()) {
    const MonoTime soon = Clock::system().now() + journal_.options().timeout;
    deadline.at = std::max(deadline.at, soon);
  }
  const Journal::Looked looked = TRY(look(file, deadline));
  if (!looked.glance.origin_path) return Error(EBUSY, "journal.settled");
  journal_.forget(looked.glance.node);
  return FileAt{.path = *looked.glance.origin_path};
}

Result<std::string> JournaledWriter::place_of_new(const std::string& path, Deadline& deadline) {
  const FileAt parent = TRY(settled({.path = parent_of(path)}, deadline));
  return parent.path.empty() ? name_of(path) : parent.path + "/" + name_of(path);
}

Result<NodeInfo> JournaledWriter::link(const FileAt& from, const std::string& to,
                                       Deadline deadline) {
  // Where a file's versions change with its other names, and two names are two files to us, what is
  // done to one would look like somebody else's doing to the other.
  if (journal_.inner().capabilities().identity) return Error(EPERM, "journal.link");
  (void)TRY(must_be_absent(to, /*believed=*/false, deadline));
  const FileAt source = TRY(settled(from, deadline));
  const std::string target = TRY(place_of_new(to, deadline));
  TRY(journal_.writer().link(source, target, deadline));
  journal_.made_past(to);
  return TRY(look({.path = to}, deadline)).info;
}

// Extended attributes are never pending: what was made here and is not there has none.
Result<std::string> JournaledWriter::get_xattr(const FileAt& file, const std::string& name,
                                               Deadline deadline) {
  const Journal::Looked looked = TRY(look(file, deadline));
  if (!looked.glance.origin_path) {
    return Error(capabilities_.extended_attributes ? ENODATA : EOPNOTSUPP, "journal.get_xattr");
  }
  return journal_.writer().get_xattr({.path = *looked.glance.origin_path}, name, deadline);
}

Result<std::vector<std::string>> JournaledWriter::list_xattrs(const FileAt& file,
                                                              Deadline deadline) {
  const Journal::Looked looked = TRY(look(file, deadline));
  if (!looked.glance.origin_path) return std::vector<std::string>();
  return journal_.writer().list_xattrs({.path = *looked.glance.origin_path}, deadline);
}

Result<Seen> JournaledWriter::set_xattr(const FileAt& file, const std::string& name,
                                        const std::string& value, uint32_t flags,
                                        Deadline deadline) {
  if (!capabilities_.extended_attributes) return Error(EOPNOTSUPP, "journal.set_xattr");
  const FileAt there = TRY(settled(file, deadline));
  TRY(journal_.writer().set_xattr(there, name, value, flags, deadline));
  return Seen{.after = TRY(look(file, deadline)).info};
}

Result<Seen> JournaledWriter::remove_xattr(const FileAt& file, const std::string& name,
                                           Deadline deadline) {
  if (!capabilities_.extended_attributes) return Error(EOPNOTSUPP, "journal.remove_xattr");
  const FileAt there = TRY(settled(file, deadline));
  TRY(journal_.writer().remove_xattr(there, name, deadline));
  return Seen{.after = TRY(look(file, deadline)).info};
}

}  // namespace netfs::journal
