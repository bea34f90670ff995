#pragma once
// Intent: a change of names that must not be made twice, recorded (intents.h) before the origin is
// asked.  When the kernel asks the same again, of the process after this one, what stood at the
// names then and what stands there now tell whether it was made.
//
// For the thread that makes the change.
//
//   const Intent intent(*this, pending, at, until);
//   Result<NodeInfo> made = intent.made_before(at.path, what, until);
//   if (!made.ok()) made = writer_->make(at.path, what, until);
//   answer_change(pending, made.code());
//
// What that process had sent may come to the origin after the look: an EEXIST or ENOENT of a change
// that is asked again() is looked into once more.

#include <string>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

class FileSystem::Intent {
 public:
  Intent(FileSystem& of, const Pending& pending, const Place& at, Deadline until);
  // A name that a file is to have besides.
  Intent(FileSystem& of, const Pending& pending, const Place& at, fuse::NodeId file,
         Deadline until);
  Intent(FileSystem& of, const Pending& pending, const Place& from, const Place& to, RenameHow how,
         Deadline until);
  // An extended attribute of a file.
  Intent(FileSystem& of, const Pending& pending, const FileRef& file, const std::string& name,
         Deadline until);
  // As a process before this one has left it.
  Intent(FileSystem& of, Intents::Before before)
      : of_(of), again_(true), before_(std::move(before)) {}

  // What a process before this one has carried out to the end is answered as it was then; and where
  // nobody knows whether it did, EIO.
  static bool answered_before(FileSystem& of, const fuse::Request& request, fuse::Reply& reply);
  // The handle that it has made for the same open, and may not have told the kernel of.
  static bool opened_before(FileSystem& of, const fuse::Request& request, uint32_t flags,
                            fuse::Reply& reply);
  [[nodiscard]] std::optional<Created> created_before(const OpenHow& how) const;
  // What has no name went with it, and the kernel was not told of it.
  static void forget_nameless(FileSystem& of, uint64_t unique);
  // What it was about when it died, as far as others would come upon it; before they do.
  static void finish(FileSystem& of);

  // A process before this one had begun it.
  [[nodiscard]] bool again() const { return again_; }

  // By that: what stands at a name that was free, if it can be what was to be made; ENOENT.
  [[nodiscard]] Result<NodeInfo> made_before(const std::string& path, const NewNode& what,
                                             Deadline until) const;
  // The same of one more name of a file.
  [[nodiscard]] Result<NodeInfo> linked_before(const std::string& path, Deadline until) const;
  [[nodiscard]] bool removed_before(const std::string& path, Deadline until) const;
  [[nodiscard]] bool renamed_before(const std::string& from, const std::string& to,
                                    Deadline until) const;
  // That process had also told the table: it died before it noted that.
  [[nodiscard]] bool table_has_renamed(const Place& from, const Place& to) const;
  // The table has what was to be renamed by its old name still.
  [[nodiscard]] bool table_has_source(const Place& from) const;
  // What was to be renamed is there still, or something like it.
  [[nodiscard]] bool is_at_old_name(const std::string& from, Deadline until) const;
  // Absent: it is to be removed.
  [[nodiscard]] bool set_before(const FileRef& file, const std::string& name,
                                const std::optional<std::string>& value, Deadline until) const;

 private:
  static std::optional<fuse::Opened> take_opened(FileSystem& of, uint64_t unique, uint32_t flags,
                                                 fuse::NodeId& node) NO_THREAD_SAFETY_ANALYSIS;
  static void finish_hiding(FileSystem& of, Deadline until);
  static void finish_rename(FileSystem& of, const Intents::Left& left, Deadline until);
  void show_what_was_hidden(const Place& from, const Place& to, Deadline until) const;
  [[nodiscard]] bool find(uint64_t unique, Deadline until);
  [[nodiscard]] SavedNode seen_at(const Place& place, Deadline until) const;
  [[nodiscard]] SavedNode seen_of(fuse::NodeId id) const;
  // Who has the name in the table; 0: nobody.
  [[nodiscard]] uint64_t id_at(const Place& place) const REQUIRES(of_.table_.mutex);

  FileSystem& of_;
  bool again_ = false;
  Intents::Before before_;
};

}  // namespace netfs::vfs
