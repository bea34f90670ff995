#pragma once
// StoppingOrigin: another origin, in whose changes of names whoever makes them can be made to stop,
// before they are made or when they are made and not answered yet, and then be cut off.
//
// Thread-safe; the inner origin outlives it.
//
//   origin.stop_at(StoppingOrigin::At::kMade, "rename");
//   ... somebody renames
//   ASSERT_TRUE(origin.wait_stopped());
//   origin.cut();    // he hears ENOTCONN, as of whatever he asks
//   ... he ends
//   origin.mend();   // for whoever comes after him

#include <memory>
#include <string>
#include <vector>

#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::test {

inline constinit sync::LockClass kStoppingOriginLock{"test.stopping_origin"};

class StoppingOrigin final : public Origin, public OriginWriter {
 public:
  // What a protocol can, besides.
  struct Kind {
    const char* name = "";
    bool identities = true;  // else it has no change times either, as by SFTP
    bool files_outlive_names = true;
    bool links = true;
  };
  enum class At : uint8_t { kNowhere, kBefore, kMade };

  StoppingOrigin(Origin& inner, Kind kind);

  // The next `call` stops: "make", "create", "remove", "rename", "link", "set_xattr" or
  // "remove_xattr".
  void stop_at(At at, std::string call) EXCLUDES(mutex_);
  // The next change comes from two: just before who makes it what another one, who has died since,
  // had sent.
  void come_twice() EXCLUDES(mutex_);
  // False after a long time.
  [[nodiscard]] bool wait_stopped() EXCLUDES(mutex_);
  void cut() EXCLUDES(mutex_);
  void mend() EXCLUDES(mutex_);
  // Those that were made, but of names that nobody asks for.
  [[nodiscard]] std::vector<std::string> changes() EXCLUDES(mutex_);

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return this; }

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override { return can_write_; }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override;
  Result<NodeInfo> finish(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) override;
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) override;
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      Deadline deadline) override;
  Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) override;
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override;
  void issue_write(WriteSubrequest& subrequest) override { to_.issue_write(subrequest); }
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override;
  Result<void> sync_all(Deadline deadline) override;
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override;
  Result<std::string> get_xattr(const FileAt& file, const std::string& name,
                                Deadline deadline) override;
  Result<Seen> set_xattr(const FileAt& file, const std::string& name, const std::string& value,
                         uint32_t flags, Deadline deadline) override;
  Result<Seen> remove_xattr(const FileAt& file, const std::string& name,
                            Deadline deadline) override;

 private:
  // Whether who asks is cut off: at once, or while he was stopped there.
  [[nodiscard]] bool is_cut(At at, const std::string& call) EXCLUDES(mutex_);
  [[nodiscard]] bool comes_twice() EXCLUDES(mutex_);
  void note(const std::string& call, const std::string& path) EXCLUDES(mutex_);
  template <class T, class Call>
  Result<T> look(Call todo);
  template <class T, class Call>
  Result<T> change(const std::string& call, const std::string& path, Call todo);

  Origin& inner_;
  OriginWriter& to_;
  const Kind kind_;
  OriginCapabilities capabilities_;
  WriteCapabilities can_write_;
  sync::Mutex mutex_{kStoppingOriginLock};
  sync::CondVar changed_;
  At at_ GUARDED_BY(mutex_) = At::kNowhere;
  std::string call_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool cut_ GUARDED_BY(mutex_) = false;
  bool twice_ GUARDED_BY(mutex_) = false;
  std::vector<std::string> changes_ GUARDED_BY(mutex_);
};

}  // namespace netfs::test
