#pragma once
// FlakyOrigin: another origin over a link that fails, for whoever uploads to it.
//
// Before each call of the uploader's thread a function is asked for what happens to it: it goes
// well, it fails before anything is done, is forbidden, or it is done (a write: half of it) and
// nobody hears of it.  Calls of other threads go well.  Changes and syncs are written down.
//
// Thread-safe; the inner origin outlives it.

#include <functional>
#include <string>
#include <vector>

#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "tests/origin-conformance/reads.h"

namespace netfs::test {

enum class Flaw : uint8_t { kNone, kBefore, kAfter, kRefused, kForbidden };

class FlakyOrigin final : public Origin, public OriginWriter {
 public:
  using Asked = std::function<Flaw(const std::string& call, const std::string& path)>;

  explicit FlakyOrigin(Origin& inner) : inner_(inner), to_(*inner.writer()) {}

  void set_flaws(Asked asked);
  // Before each read of the uploader's thread.
  void set_reads(std::function<Flaw()> reads);
  // "make d/x", "write", "sync d/x" and so on, of the uploader's thread.
  [[nodiscard]] std::vector<std::string> calls();
  // Between these the uploader's thread stops where it would look at a file.
  void close_gate();
  void open_gate();
  [[nodiscard]] bool at_gate();
  // Of whatever thread.
  [[nodiscard]] uint64_t bytes_asked_for();
  [[nodiscard]] uint64_t looks();
  // Before a listing is passed on, by whatever thread.
  void set_before_list(std::function<void()> before);
  // And when all of it was passed on.
  void set_behind_list(std::function<void()> behind);
  // Something else that belongs among them.
  void note(std::string what);

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_.capabilities();
  }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return this; }

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return to_.write_capabilities();
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

 private:
  Flaw ask(const std::string& call, const std::string& path);
  template <class T, class Call>
  Result<T> pass(const std::string& call, const std::string& path, Call todo);

  Origin& inner_;
  OriginWriter& to_;
  sync::Mutex mutex_{kTestReadLock};
  Asked asked_ GUARDED_BY(mutex_);
  std::function<Flaw()> reads_ GUARDED_BY(mutex_);
  std::function<void()> before_list_ GUARDED_BY(mutex_);
  std::function<void()> behind_list_ GUARDED_BY(mutex_);
  std::vector<std::string> calls_ GUARDED_BY(mutex_);
  sync::CondVar opened_;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool waits_ GUARDED_BY(mutex_) = false;
  uint64_t bytes_asked_for_ GUARDED_BY(mutex_) = 0;
  uint64_t looks_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::test
