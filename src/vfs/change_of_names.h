#pragma once
// ChangeOfNames: a change of names under way: from before the origin is asked until the inode table
// knows.  Of the file that loses a name by it, opens wait, and a handle that keeps it alive is
// kept.
//
// For the thread that makes the change.
//
//   ChangeOfNames change(*this);
//   hidden = TRY(keep_open_file(place, change, until));

#include "vfs/file_system.h"

namespace netfs::vfs {

class FileSystem::ChangeOfNames {
 public:
  explicit ChangeOfNames(FileSystem& of) : of_(of), number_(of.name_changes_.begin()) {}
  ~ChangeOfNames();
  ChangeOfNames(const ChangeOfNames&) = delete;
  ChangeOfNames& operator=(const ChangeOfNames&) = delete;

  // The node that loses a name; once.  With the table's lock: the analysis does not see that the
  // table behind of_ is the caller's own.
  void takes_name_of(Node& node) NO_THREAD_SAFETY_ANALYSIS;
  [[nodiscard]] fuse::NodeId going() const { return going_; }

  // remove.cc.  Before a name of a file goes: if it is open it is made to live on.
  Result<Kept> keep_open_file(const Place& place, Losing losing, Deadline until);
  // The origin has the file by its hidden name.
  void take_hidden(const std::string& path);
  // Where change times count a file is another version by its hidden name: looks at it; and takes
  // what was seen, in a look that began in that serial of the table's.  True: it is that file.
  static Result<void> see_hidden(FileSystem& of, fuse::NodeId id, const std::string& path,
                                 Deadline until);
  static bool take_seen(FileSystem& of, fuse::NodeId id, const std::string& path, NodeInfo seen,
                        uint64_t began_in);
  // The change did not come about: the file keeps its name, or gets it back.
  void take_back(const Place& place, const Kept& kept);
  // What was hidden for a change that did not come about gets its name back.
  Result<void> show_again(const Place& place, const std::string& hidden_path, Deadline until);
  // The name that the file is about to have, for who serves this mount after us; empty: none.
  void set_hiding(std::string hidden_name, bool by_link);

 private:
  [[nodiscard]] std::string hidden_beside(const Place& place) const;
  Result<std::string> hide(const Place& place, Deadline until);

  FileSystem& of_;
  const uint64_t number_;
  fuse::NodeId going_;
};

}  // namespace netfs::vfs
