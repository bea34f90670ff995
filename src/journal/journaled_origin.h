#pragma once
// JournaledOrigin: an origin whose changes are in a journal before they are at the inner origin:
// what is shown is the inner one with what is pending laid over it.
//
// A file with changes pending has validators of ours.  Once the last change is at the inner origin,
// the file keeps the one it has as long as the origin shows what it showed just after that change:
// so our own upload is not taken for a change by somebody else.  Files have no identity but their
// path.
//
// Thread-safe.  The inner origin and the disk outlive it; handles do not.
//
//   std::unique_ptr<JournaledOrigin> origin = TRY(JournaledOrigin::open({.inner = *sftp, ...}));

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "journal/journal.h"
#include "journal/journaled_locks.h"
#include "journal/journaled_writer.h"
#include "journal/uploader.h"
#include "netfs/origin.h"
#include "sync/work_queue.h"

namespace netfs::journal {

class JournaledOrigin final : public Origin {
 public:
  // EROFS: the inner origin cannot be changed.  EBUSY: another process has the journal.
  static Result<std::unique_ptr<JournaledOrigin>> open(JournalOptions options);
  ~JournaledOrigin() override;

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] unsigned listings_ahead() const override {
    return journal_->inner().listings_ahead();
  }
  [[nodiscard]] std::string volume_key() const override { return journal_->inner().volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return &writer_; }
  [[nodiscard]] OriginLocks* locks() override { return locks_ ? &*locks_ : nullptr; }
  [[nodiscard]] StatusFields status() const override;

  [[nodiscard]] Journal& journal() { return *journal_; }
  // Nothing more goes to the origin; waits for the calls that are under way.
  void stop_uploading() {
    if (uploader_) uploader_->stop();
  }

 private:
  [[nodiscard]] std::map<std::string, Journal::ShownName> names_of(const std::string& path);
  class Through;
  class Below;

  explicit JournaledOrigin(std::unique_ptr<Journal> journal);
  bool post_laid_over(Subrequest& subrequest);
  void read_laid_over(Subrequest& subrequest);
  Result<uint64_t> read_below(Subrequest& subrequest, const Journal::Bytes& bytes);
  Result<std::shared_ptr<OriginFile>> open_below(NodeId node, Deadline deadline);
  [[nodiscard]] std::optional<Validator> validator_of(NodeId node,
                                                      const std::optional<Validator>& raw);

  const std::unique_ptr<Journal> journal_;
  const OriginCapabilities capabilities_;
  JournaledWriter writer_;
  std::optional<JournaledLocks> locks_;  // none where the inner origin has none
  std::atomic<bool> limited_{false};     // the inner origin has held reads back
  sync::WorkQueue readers_;              // for reads that wait
  std::unique_ptr<Uploader> uploader_;
};

}  // namespace netfs::journal
