#pragma once
// FileSystem: a mounted tree: answers the kernel's requests from memory, library and origin.
//
// handle() never blocks: what memory cannot answer goes to a pool of metadata workers, and equal
// calls of the origin that are under way are joined, not repeated.  Which file answers what:
// dispatch.cc.  What users may rely on, with the test of each claim: docs/semantics.md.
//
// Origin, library and backing ids outlive it, and it outlives the session.  Thread-safe.
//
//   auto fs = TRY(FileSystem::create({*origin, *library, options}));
//   auto session = TRY(fuse::Session::create(*channel, *fs, session_options, clock));
//   fs->attach(&backing_ids, &notifier), session->start();
//   session->stop(...);  fs->stop();  library->close();  // then fs may be destroyed

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fuse/backing.h"
#include "fuse/encode.h"
#include "fuse/notifier.h"
#include "fuse/session.h"
#include "netfs/library.h"
#include "netfs/names_store.h"
#include "netfs/origin.h"
#include "netfs/tree_writer.h"
#include "sync/cond_var.h"
#include "sync/work_queue.h"
#include "vfs/coming_listings.h"
#include "vfs/descriptor_keeper.h"
#include "vfs/files_ahead.h"
#include "vfs/flights.h"
#include "vfs/handed_on.h"
#include "vfs/hidden_names.h"
#include "vfs/inode_table.h"
#include "vfs/intents.h"
#include "vfs/kept_writes.h"
#include "vfs/name_changes.h"
#include "vfs/options.h"
#include "vfs/path_holds.h"
#include "vfs/pending.h"
#include "vfs/walk.h"

namespace netfs::vfs {

class FileSystem final : public fuse::Handler {
 public:
  struct Parts {
    Origin& origin;
    Library& library;
    Options options;
    const Clock& clock = Clock::system();
    NamesStore* names = nullptr;  // null: names live as long as this
    Ref<ArenaMemory> memory{};    // what a process before this one left; null: there was none
    bool memory_is_lost = false;  // there was, and it could not be taken over
    bool origin_is_away = false;  // what `memory` has of the root counts until it can be asked
    DescriptorKeeper* keeper = nullptr;  // keeps what it left of descriptors; or null
  };

  // Looks at the root; its error is the mount's: ENOTDIR, ENOENT, EACCES, or that of the way there.
  static Result<std::unique_ptr<FileSystem>> create(Parts parts);
  ~FileSystem() override;

  // Who hands files to the kernel, and tells it what to forget, or null.  First; outlive stop().
  // What a process before this one had kept is written now: may wait for the origin.
  void attach(fuse::BackingIds* backing, fuse::Notifier* notifier = nullptr);
  // What a process after this one has to have to serve the same connection on.
  [[nodiscard]] const ArenaMemory& memory() const { return *memory_; }

  void started(const fuse::Negotiated& negotiated) override;
  void handle(const fuse::Request& request, fuse::Reply reply) override;
  void interrupt(uint64_t unique) override;

  // The hand brake: believes nothing of `path` ("" is the root) and of what is beneath it until the
  // origin was asked again, and tells the kernel so.  What is open goes on as it was.
  void drop(std::string_view path) { drop(path, Dropped::kDoubted); }
  // What had that name here is not what has it at the origin: whoever has it open keeps it, and
  // whoever comes by the name finds the other.
  void went_elsewhere(std::string_view path) { drop(path, Dropped::kElsewhere); }

  // Answers what still waits, and from now on what would have to wait, with ECONNABORTED; ends the
  // workers.  Bounded by the origin's timeout.
  void stop();

  // Whether the origin can be changed here; and whether its permissions and ACLs are what is shown.
  [[nodiscard]] bool writable() const { return writer_ != nullptr; }
  [[nodiscard]] bool has_locks() const { return locking_ != nullptr; }  // the origin's own
  [[nodiscard]] bool has_acls() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] Sizes sizes();
  [[nodiscard]] std::vector<std::string> refused_names() const;  // the last; escaped to be shown

 private:
  friend struct Dispatch;
  FileSystem(Parts parts, Ref<ArenaMemory> memory, const NodeInfo& root);
  enum class Dropped : uint8_t { kDoubted, kElsewhere };
  void drop(std::string_view path, Dropped how);

  // One a family of operations; each in the file of its name, or in the one that is named here.
  using Operation = void(const fuse::Request& request, fuse::Reply reply);
  Operation lookup, forget, access, open, release, read;
  void open_fresh(fuse::NodeId id, fuse::Reply reply);
  Operation get_attributes, get_statx, read_link;  // attributes.cc, links.cc
  Operation open_directory, read_directory, stat_file_system, release_directory;  // release.cc
  // What changes something: EROFS on a mount that is not writable.
  Operation make, create, remove, rename, link, set_attributes, write, allocate, copy, seek;
  Operation create_nameless, flush, sync, lock;    // nameless.cc, sync.cc, lock.cc
  Operation get_xattr, list_xattrs, change_xattr;  // xattr.cc
  Operation refuse_unsupported, refuse_ioctl;      // unsupported.cc

  // attributes.cc
  [[nodiscard]] fuse::Attr attr_of(const Node& node) REQUIRES(table_.mutex);
  [[nodiscard]] Duration validity_of(const Node& node) const REQUIRES(table_.mutex);
  template <class Out>
  void attributes(const fuse::Request& request, fuse::Reply reply);
  template <class Out>
  bool know_attributes(fuse::NodeId id, bool believe, Out& out, int& error);
  [[nodiscard]] bool is_fresh(MonoTime seen, Duration ttl) const;
  [[nodiscard]] Duration shown_for(const Node& node) const REQUIRES(table_.mutex);
  [[nodiscard]] bool has_other_nodes(const Node& node) const;
  [[nodiscard]] bool is_fresh(const Node& node) const REQUIRES(table_.mutex);

  // refresh.cc: one look at the origin, joined by all who want the same; then() runs on a worker,
  // after the table knows what was seen, with what the look itself came to.
  using Then = UniqueFunction<void(const Result<void>&)>;
  void refresh_name(Name name, Then then);
  void look_at_name(Name name, Then then);
  void refresh_node(fuse::NodeId node, Look look, Then then);
  void stat_now(const Name& name, Deadline until);
  Result<void> look(const Name& name, Deadline until);
  Result<void> look_again(const Name& name, Deadline until);
  Result<void> take_stat(const Name& name, Result<NodeInfo> info, Asked asked, bool& overtaken);
  bool was_changed_since(Node& parent, std::string_view name, uint64_t serial)
      REQUIRES(table_.mutex);
  bool was_seen_since(Node& parent, std::string_view name, uint64_t serial) REQUIRES(table_.mutex);
  bool is_dirty(Node& parent, std::string_view name) REQUIRES(table_.mutex);
  [[nodiscard]] bool serve_stale(const Name& name);
  // refresh_cheaply.cc: the same, by a listing where many names of one directory are asked for.
  void refresh_cheaply(Name name, Then then);
  [[nodiscard]] bool listing_is_cheaper(const Name& name);
  [[nodiscard]] bool listing_would_help(const Node& directory) const REQUIRES(table_.mutex);
  void count_look(Node& directory, Duration took) REQUIRES(table_.mutex);

  // refresh_listing.cc: the same for listings.
  void refresh_listing(fuse::NodeId directory, ThenListed then, std::optional<Deadline> until = {});
  void join_listing(fuse::NodeId directory, std::optional<Deadline> until, ThenListed then);
  void list_now(fuse::NodeId directory, const std::string& path, Deadline until);
  Ref<Listing> landed_listing(fuse::NodeId directory);
  Listed look_at_directory(fuse::NodeId id, const std::string& path, Asker asker, Deadline until);
  Listed take_listing(fuse::NodeId id, const std::string& path, Asker asker, Deadline until);
  Result<void> take_batch(fuse::NodeId directory, Intake& intake);
  Listed end_intake(fuse::NodeId directory, Intake& intake, Result<void> listed);
  void drop_unlisted(Node& directory, Intake& intake) REQUIRES(table_.mutex);
  Ref<Listing> stale_listing(fuse::NodeId directory, const std::string& path);

  // stored_names.cc, stored_name.cc: what the cache has of names.
  void begin_saving(fuse::NodeId directory, const std::string& path, Intake& intake);
  void save_names(fuse::NodeId directory, const std::string& path, Intake& intake);
  void store_names(fuse::NodeId id, const std::string& path, MonoTime began, std::string bytes);
  Listed stored_listing(fuse::NodeId id, const std::string& path, Old old, Asker asker);
  Listed take_stored(fuse::NodeId id, const std::string& path, Old old, Asker asker);
  [[nodiscard]] bool begin_taking(fuse::NodeId id, Old old);
  void end_taking(fuse::NodeId id, Old old, bool in_vain);
  std::optional<Result<void>> look_in_store(const Name& name, Old old);
  void outdate_names(fuse::NodeId directory);

  // revalidate.cc: what is shown first and looked at behind that.
  [[nodiscard]] bool looks_behind() const;
  bool show_then_look(const Name& name);
  void look_behind(const Name& name);
  bool may_show_stored(const Name& name);
  Ref<Listing> show_listing(fuse::NodeId directory);
  void list_behind(fuse::NodeId directory, const std::string& path);

  // coming_listings.cc: listings that are read while they come in.
  void refresh_listing_in_part(fuse::NodeId directory, ThenListed then);
  void show_part(fuse::NodeId directory, const Ref<Listing>& listing);
  void end_part(fuse::NodeId directory, Listing& listing, int error);
  void wake_readers(fuse::NodeId directory);
  void read_on(fuse::NodeId id, const fuse::ReaddirRequest& wanted, const Ref<Listing>& listing,
               const Ref<Pending>& pending);

  // list_ahead.cc: listings that somebody who walks through the tree will ask for next.
  [[nodiscard]] bool lists_ahead() const;
  void note_walk(fuse::NodeId directory);
  void note_miss(fuse::NodeId directory, Duration took);
  void list_ahead();
  void list_ahead_now(const AheadListing& what, Deadline until);
  void plan_listing(Node& next, std::vector<AheadListing>& planned) REQUIRES(table_.mutex);
  void begin_listings(std::vector<AheadListing> planned);
  // fetch_ahead.cc: files that somebody who reads them in turn will open next.
  void note_opened(fuse::NodeId file);
  void fetch_now(const FilesAhead::Wanted& what);

  // origin_state.cc, origin_checks.cc: whether it can be reached, and says what an origin may.
  void note_outcome(int code);
  [[nodiscard]] bool believed_unreachable() const;
  [[nodiscard]] bool should_wait(int code) const;
  bool name_is_allowed(std::string_view directory, std::string_view name);
  bool info_is_allowed(std::string_view path, const NodeInfo& info);

  // lookup.cc
  [[nodiscard]] Duration absent_for(const Node& directory, std::string_view name) const
      REQUIRES(table_.mutex);
  void answer_absent(Duration valid, fuse::Reply& reply) const;
  void answer_entry(fuse::NodeId parent, std::string_view name, const Result<void>& seen,
                    fuse::Reply& reply);
  [[nodiscard]] fuse::Entry entry_of(Node& node) REQUIRES(table_.mutex);

  // open.cc
  OpenAnswer try_open(fuse::NodeId id, Prepared prepared, uint64_t unique);
  OpenAnswer open_locked(Node& node, bool sealed, Prepared prepared, uint64_t unique,
                         Graveyard& graveyard) REQUIRES(table_.mutex);
  OpenMode choose_mode(Node& node, bool sealed, Prepared prepared) REQUIRES(table_.mutex);
  [[nodiscard]] bool is_hot(const Node& node) const REQUIRES(table_.mutex);
  [[nodiscard]] bool hides_changes(const Node& node) const REQUIRES(table_.mutex);
  void answer_open(fuse::NodeId id, Prepared prepared, Pending& pending);

  // change.cc: what changes have in common.  One runs on a worker, and answers.
  using Change = UniqueFunction<void(Pending&, Deadline)>;
  Settled begin_of(fuse::Reply reply, Change change);
  void change_on_worker(fuse::Reply reply, Change change);
  // Once what was written to it before is at the origin or has failed; landed: and was seen there.
  void change_settled(fuse::NodeId id, fuse::Reply reply, Change change);
  void change_landed(fuse::NodeId id, fuse::Reply reply, Change change);
  void after_settling(fuse::NodeId id, Settled then);
  Result<Place> place_of(fuse::NodeId parent, std::string_view name);
  static NewNode new_node(FileType type, uint32_t mode, uint32_t umask);
  // Its owner, where that is the origin's to say, the set-group-ID bit of its directory; its name.
  void know_place(NewNode& what, std::string_view name, const fuse::Header& caller);
  // A name that we have made, or that leads to what we have made: its entry for the kernel.
  Result<fuse::Entry> take_made(const Place& place, NodeInfo info, DirectoryAfter after);
  void take_kept(fuse::NodeId id, uint64_t end_bytes);
  void take_change(fuse::NodeId id, Witnessed witnessed, InodeTable::Changed what);
  void forget_pages(fuse::NodeId id);  // others have changed it: the kernel drops what it has
  class HiddenFiles;                   // that nobody has open any more
  class ByPath;                        // made with its paths held
  class ChangeOfNames;                 // from before the origin is asked until the table knows
  class Intent;                        // recorded, for who may be asked the same again
  class KeptFiles;                     // those that live by a descriptor
  void answer_change(Pending& pending, int error, std::span<const std::byte> body = {});
  void after_name_changes(sync::WorkQueue::Work then);
  void tell_moved(const std::vector<InodeTable::Moved>& moved);

  // revive.cc
  Result<void> revive_if_lost(fuse::NodeId id, Ref<WritableFile>& live, Deadline until);
  Result<void> write_again(const KeptWrites::Left& left, Deadline until);
  void revive_kept();

  // settle.cc: writes that are kept in memory until they have landed.
  class Landing;
  void watch_landings(fuse::NodeId id, WritableFile& file);
  void take_landed(fuse::NodeId id, Witnessed witnessed, int error);
  void after_landing(fuse::NodeId id, Settled then);
  std::optional<Name> name_of_unseen(fuse::NodeId id);
  void doubt_written(fuse::NodeId id);
  void take_end(fuse::NodeId id, uint64_t end_bytes);
  void take_asked(fuse::NodeId id, const AttributeChange& change);
  static bool shows_all(const Node& node, const Witnessed& witnessed);
  KnownVersion known_of(fuse::NodeId id);
  bool tell_write_error(fuse::HandleId id, UniqueFunction<bool(int)> say);

  // open_write.cc, create.cc, copy.cc, nameless.cc, link.cc
  class Opening;
  void open_for_writing(const fuse::Request& request, fuse::Reply reply);
  void begin_open(fuse::NodeId id, OpenHow how, Ref<Pending> pending);
  Result<fuse::Opened> open_for_writing_now(fuse::NodeId id, OpenHow how, Deadline until);
  Result<Ref<WritableFile>> live_file(fuse::NodeId id, Deadline until);
  Result<Ref<WritableFile>> open_live_file(fuse::NodeId id, Deadline until, bool& moved);
  bool has_moved(fuse::NodeId id, const std::string& path);
  Result<fuse::Opened> open_handle(fuse::NodeId id, Ref<WritableFile> live, OpenHow how);
  Result<Created> create_now(const Place& place, const NewNode& what, OpenHow how,
                             const Intent& intent, Deadline until);
  Result<Created> take_created(const Place& place, NodeInfo there, OpenHow how, bool may_open,
                               Deadline until);
  Result<fuse::Opened> open_existing(fuse::NodeId id, OpenHow how, Deadline until);
  bool is_still(const std::string& path, const Validator& version, Deadline until);
  Result<FileRef> file_ref(fuse::NodeId id);
  Result<Created> create_nameless_now(fuse::NodeId parent, const NewNode& what, OpenHow how,
                                      Deadline until);
  void take_link(fuse::NodeId id, const Place& at, const NodeInfo& info);
  void note_two_nodes(fuse::NodeId one, fuse::NodeId other);
  // remove.cc, rename.cc, set_attributes.cc
  Result<void> remove_now(const Place& place, RemoveKind kind, const Intent& intent,
                          Deadline until);
  ForgetScope scope_of_rename(const Place& from, const Place& to);
  Result<void> rename_now(const Place& from, const Place& to, RenameHow how, const Intent& intent,
                          Deadline until);
  void take_renamed(const Place& from, const Place& to, RenameHow how, Deadline until,
                    fuse::NodeId by_other_name = {});
  Result<AttributeChange> change_of(fuse::NodeId id, const fuse::SetattrRequest& wanted);
  Result<Witnessed> set_now(fuse::NodeId id, const AttributeChange& change, Deadline until);
  // A node's permissions without the set-ID bits that go, also for who is not of its group `gid`.
  std::optional<uint32_t> stripped_permissions(fuse::NodeId id, std::optional<uint32_t> gid = {});
  Result<void> strip_set_id(fuse::NodeId id, Deadline until, std::optional<uint32_t> gid = {});

  // write.cc, xattr.cc
  Result<LiveHandle> live_handle(fuse::HandleId id, fuse::NodeId opened);
  void write_now(const Writing& writing, BufferSlice data, const Ref<Pending>& pending);
  void take_written(const Writing& writing, Result<Written> written, const Ref<Pending>& pending);
  [[nodiscard]] bool shows_xattr(std::string_view name) const;
  void kill_sgid(fuse::NodeId id, Deadline until);

  // open_prepare.cc, release.cc, locking.h
  class Locking;
  class LateTargets;  // late_targets.h
  void prepare_open(fuse::NodeId id, Ref<Pending> pending);
  void prepare_on_worker(fuse::NodeId id);
  Result<Prepared> prepare(fuse::NodeId id);
  Result<Prepared> hand_out(fuse::NodeId id, const Ref<File>& file);
  Result<Ref<File>> ready_file(fuse::NodeId id);
  Result<void> see_own_change(fuse::NodeId id);
  bool wait_while_going(fuse::NodeId id, const Ref<Pending>& pending);
  void close_handle(fuse::HandleId id);

  // read.cc
  struct Reading;
  Result<ReadPlace> find_place(const fuse::Request& request);
  void give_stream(ReadPlace& place);
  static bool read_at_once(const ReadPlace& place, ByteRange range, fuse::Reply& reply);
  void read_file(ReadPlace place, ByteRange range, fuse::Reply reply);
  void read_later(ReadPlace place, ByteRange range, Ref<Pending> pending);
  void read_again(ReadPlace place, ByteRange range, const Ref<Pending>& pending);
  void read_renewed(ReadPlace place, ByteRange range, Ref<Pending> pending);
  static Ref<File> file_to_read(const Node& node);
  void send_read(fuse::NodeId node, fuse::Reply& reply, Result<ReadResult> result);
  // open_directory.cc, read_directory.cc, links.cc
  fuse::Opened open_directory_locked(Node& node, Ref<Listing> listing, uint64_t unique,
                                     Graveyard& graveyard) REQUIRES(table_.mutex);
  void answer_open_directory(fuse::NodeId id, Ref<Listing> listing, fuse::Reply& reply);
  [[nodiscard]] bool wants_relisting(const Node& node, const fuse::ReaddirRequest& wanted) const
      REQUIRES(table_.mutex);
  void answer_listing(fuse::NodeId id, const Listing& listing, const fuse::ReaddirRequest& wanted,
                      fuse::Reply& reply);
  void resume_listing(fuse::NodeId id, const fuse::ReaddirRequest& wanted,
                      const Ref<Pending>& pending);
  std::span<const std::byte> pack_entries(fuse::NodeId id, const Listing& listing,
                                          const fuse::ReaddirRequest& wanted,
                                          std::span<std::byte> room);
  void answer_link(std::string_view path, std::string_view target, fuse::Reply& reply);
  void fetch_link(fuse::NodeId id, const std::string& path, Deadline until);
  [[nodiscard]] Deadline deadline() const { return Deadline::after(clock_, options_.timeout); }
  // Runs on a metadata worker; when they have ended, not at all.
  void on_worker(sync::WorkQueue::Work work);
  void bury(Graveyard graveyard);

  Origin& origin_;
  Library& library_;
  const Options options_;
  const Clock& clock_;
  fuse::BackingIds* backing_ = nullptr;
  fuse::Notifier* notifier_ = nullptr;
  // Settled by started(); the kernel may still refuse passthrough later.
  std::atomic<bool> passthrough_{false}, no_open_{false}, acls_{false}, no_opendir_{false};
  TreeWriter* const writer_;  // null: the mount is read-only
  NamesStore* const names_;   // null where names are not kept
  const bool keeps_writes_;
  DescriptorKeeper* const keeper_;     // or null
  sync::Mutex keeping_{kKeepingLock};  // what is told of a file comes in its order
  HiddenNames hidden_names_;
  Counters counters_;
  AheadState ahead_state_ GUARDED_BY(table_.mutex);  // its listings' claims end before it
  FilesAhead files_ahead_ GUARDED_BY(table_.mutex);
  const Ref<ArenaMemory> memory_;
  KeptWrites kept_;
  Intents intents_;
  const std::unique_ptr<LateTargets> late_targets_;  // null as names_; its records end before it
  InodeTable table_;
  sync::CondVar names_taken_;  // under the table's lock
  ComingListings coming_ GUARDED_BY(table_.mutex);
  PendingTable pending_;
  NameChanges name_changes_;
  PathHolds path_holds_;
  std::unique_ptr<Locking> locking_;  // null: the kernel keeps locks itself
  Flights<Then> stat_flights_;
  Flights<ThenListed> list_flights_;
  Flights<Ref<Pending>> open_flights_, link_flights_, statfs_flights_;
  sync::Mutex statfs_mutex_{kFileSystemStatsLock};
  FileSystemStats statfs_ GUARDED_BY(statfs_mutex_);
  MonoTime statfs_at_ GUARDED_BY(statfs_mutex_) = MonoTime::min();
  mutable sync::Mutex refused_mutex_{kRefusedNamesLock};
  std::vector<std::string> refused_names_ GUARDED_BY(refused_mutex_);
  std::atomic<uint64_t> next_listing_{1};
  std::atomic<MonoTime> unreachable_until_{MonoTime::min()};
  std::atomic<MonoTime> unsure_at_{MonoTime::min()};  // an error may last have been a change
  std::atomic<bool> stopping_{false};
  std::atomic<int> held_answers_{0};  // of direct writes
  sync::WorkQueue ahead_;             // listings for nobody who waits
  sync::WorkQueue behind_, files_;    // looks behind what was shown, and files
  sync::WorkQueue metadata_;          // last: its threads use all of the above
};

}  // namespace netfs::vfs
