#pragma once
// NfsWriter: what version 3 can change.
//
// Bytes go out by WRITE without sync and become durable by COMMIT, when somebody asks for it, when
// the file is closed, or when much is held or for long (unstable.h); what a restart of the server
// lost is written again then, and a time that was set behind it is set again, so that nobody takes
// it for somebody else's change.  What cannot be made durable stays held, and is tried again with
// pauses that grow.  A file that is ESTALE for as long as twice the timeout, while the root is
// there, is given up: that is logged, and EIO of its next sync.
//
// A request whose answer was lost is sent again: what it then finds done is its own work where that
// can be told (the verifier of a new file, the identity of what is linked), else it is ENOTCONN.  A
// RENAME or REMOVE is sent again only if what it is to move or remove is at that name still.
//
// RENAME replaces, always.  So without replacing a file gets its new name by LINK, which is EEXIST
// where something has it, and loses the old one after that; a directory is looked for and renamed:
// what comes there in between is replaced if it is an empty directory, and nothing else.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/origin_writer.h"
#include "origins/nfs/call.h"
#include "origins/nfs/limits.h"
#include "origins/nfs/names.h"
#include "origins/nfs/nfs_file.h"
#include "origins/nfs/unstable.h"
#include "sync/work_queue.h"

namespace netfs::origins::nfs {

class NfsWriter final : public OriginWriter, public OnClose {
 public:
  NfsWriter(Caller& caller, Names& names, const ServerLimits& limits, Duration timeout);
  // Commits what is held, as long as a wait may take.
  ~NfsWriter() override;

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return capabilities_;
  }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override;
  Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) override;
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) override;
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      Deadline deadline) override;
  Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) override;
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override;
  void issue_write(WriteSubrequest& subrequest) override;
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override;
  Result<void> sync_all(Deadline deadline) override;
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override;

  [[nodiscard]] uint64_t unstable_bytes() const { return unstable_.held_bytes(); }
  [[nodiscard]] Unstable::Refused refused() const { return unstable_.refused(); }

 private:
  // What CREATE, MKDIR, SYMLINK and MKNOD answer.
  struct Made {
    Handle handle;  // empty: it was not said
    std::optional<NodeInfo> info;
    std::optional<NodeInfo> directory;
  };
  template <class Answer, class Resok>
  static Result<Made> made_of(nfsstat3 status, const Resok& made);
  // Without a verifier it is told from another client's only by its answer.
  Result<Made> make_file(const Place& place, const NewNode& what,
                         const std::optional<Verifier>& verifier, Deadline deadline, bool& lost);
  Result<Made> make_directory(const Place& place, const NewNode& what, Deadline deadline,
                              bool& lost);
  Result<Made> make_link(const Place& place, const NewNode& what, Deadline deadline, bool& lost);
  Result<Made> make_special(const Place& place, const NewNode& what, Deadline deadline, bool& lost);
  // Any of them, with what it came out as.
  struct NewFound {
    Found found;
    std::optional<NodeInfo> directory;
    Place place;
    bool exclusive = false;  // its attributes and times are to be set
  };
  Result<NewFound> make_any(const std::string& path, const NewNode& what, Deadline deadline);
  Result<NodeInfo> set_new(const NewFound& made, const NewNode& what, Deadline deadline);
  Result<NodeInfo> finish_new(const NewFound& made, const NewNode& what, Deadline deadline);
  Result<Seen> set(const Handle& handle, uint64_t fileid, const AttributeChange& change,
                   Deadline deadline);
  Result<Seen> resize(const Handle& handle, uint64_t fileid, const AttributeChange& change,
                      Deadline deadline);

  Result<void> ask_rename(const Place& from, const Place& to, Deadline deadline,
                          const Asking& asking);
  Result<void> ask_remove(const Place& place, RemoveKind kind, Deadline deadline,
                          const Asking& asking);
  // If its answer is lost it is sent again only where `known` has the name still.
  Result<void> remove_known(const Place& place, RemoveKind kind, const std::optional<Handle>& known,
                            Deadline deadline);
  std::optional<Found> holder_at(const Place& place, Deadline deadline);
  void lost_name(const std::optional<Found>& file, Deadline deadline);
  Result<void> link_to(const Handle& file, const Place& to, Deadline deadline, bool& lost);
  Result<void> rename_without_replacing(const Found& source, const Place& old, const Place& place,
                                        Deadline deadline);
  // RENAME of `source`, whatever has the new name.
  Result<void> rename_it(const Found& source, const Place& old, const Place& place,
                         Deadline deadline);

  // `before`: the file's version, where it had to be asked for.
  void submit_write(WriteSubrequest& subrequest, std::optional<Validator> before);
  void write_ended(WriteSubrequest& subrequest, Result<const WRITE3resok*> answer,
                   std::optional<Validator> before);
  void end_overdue();

  // Nobody else writes a file for as long as it lives.
  class Alone {
   public:
    Alone(NfsWriter& writer, const Handle& file, Deadline deadline);
    ~Alone();
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;
    [[nodiscard]] const Result<void>& begun() const { return begun_; }

   private:
    NfsWriter& writer_;
    const Handle& file_;
    std::vector<WriteSubrequest*> parked_;
    Result<void> begun_;
  };
  // ENOTCONN, ETIMEDOUT, ESTALE, ENOSPC, EDQUOT and EIO: it is not durable.
  Result<void> commit(const Handle& file, Deadline deadline);
  // By who has it alone.
  Result<void> commit_alone(const Handle& file, Deadline deadline);
  template <class WriteAgain>
  Result<void> commit_by(const Handle& file, Deadline deadline, WriteAgain write_again);
  Result<Verifier> ask_commit(const Handle& file, Deadline deadline);
  Result<void> write_lost(const Handle& file, uint64_t mark, const Verifier& verifier,
                          Deadline deadline);
  Result<void> set_lost_time(const Handle& file, Deadline deadline);
  Result<uint32_t> write_stable(const Handle& file, uint64_t offset, const std::string& bytes,
                                Deadline deadline);
  void closed(const Handle& handle) override;
  void commit_later(const Handle& handle, Duration after);
  Duration pause_after(const Handle& handle, const Error& error);
  // Nobody may close the files of which much is held, or close them for long.
  void bring_down();
  void relieve();
  void commit_old();

  Caller& caller_;
  Names& names_;
  const ServerLimits limits_;
  const Duration timeout_;
  const WriteCapabilities capabilities_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> relieving_{false};
  std::atomic<bool> watching_age_{false};
  std::atomic<bool> tells_before_{false};  // the server, in its answers to WRITE
  Unstable unstable_;
  sync::WorkQueue committers_;
  sync::WorkQueue timers_;
};

}  // namespace netfs::origins::nfs
