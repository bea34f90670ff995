#include "tests/origin-conformance/flaky_origin.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <sys/prctl.h>
#include <utility>

namespace netfs::test {

namespace {

bool is_uploader() {
  char name[16] = {};
  (void)::prctl(PR_GET_NAME, name);
  return std::string_view(name) == "netfs-upload";
}

constexpr uint64_t kBlockBytes = 4096;

// Half of a write is done.
class HalfWrite final : public WriteSubrequest {
 public:
  explicit HalfWrite(WriteSubrequest& outer)
      : WriteSubrequest(outer.file(), half(outer.range()),
                        outer.source().subspan(0, half(outer.range()).length_bytes), outer.wants(),
                        outer.deadline()),
        outer_(outer) {}
  void terminated(WriteOutcome /*outcome*/) override {
    const std::unique_ptr<HalfWrite> self(this);
    outer_.terminated({.transferred_bytes = Error(ETIMEDOUT, "flaky.write")});
  }

 private:
  static ByteRange half(ByteRange range) {
    // Whole blocks, as servers have it.
    return {range.offset_bytes,
            std::min(round_up((range.length_bytes + 1) / 2, kBlockBytes), range.length_bytes)};
  }
  WriteSubrequest& outer_;
};

}  // namespace

void FlakyOrigin::set_flaws(Asked asked) {
  sync::MutexLock lock(mutex_);
  asked_ = std::move(asked);
}

void FlakyOrigin::set_reads(std::function<Flaw()> reads) {
  sync::MutexLock lock(mutex_);
  reads_ = std::move(reads);
}

std::vector<std::string> FlakyOrigin::calls() {
  sync::MutexLock lock(mutex_);
  return calls_;
}

void FlakyOrigin::close_gate() {
  sync::MutexLock lock(mutex_);
  closed_ = true;
}
void FlakyOrigin::open_gate() {
  sync::MutexLock lock(mutex_);
  closed_ = false;
  opened_.notify_all();
}
bool FlakyOrigin::at_gate() {
  sync::MutexLock lock(mutex_);
  return waits_;
}

void FlakyOrigin::note(std::string what) {
  sync::MutexLock lock(mutex_);
  calls_.push_back(std::move(what));
}

Flaw FlakyOrigin::ask(const std::string& call, const std::string& path) {
  if (!is_uploader()) return Flaw::kNone;
  sync::MutexLock lock(mutex_);
  if (call == "stat" || call == "open_for_writing") {
    while (closed_) {
      waits_ = true;
      opened_.wait(mutex_);
    }
    waits_ = false;
  }
  const Flaw flaw = asked_ ? asked_(call, path) : Flaw::kNone;
  const char* how = flaw == Flaw::kNone ? "" : flaw == Flaw::kAfter ? " (unheard)" : " (failed)";
  calls_.push_back(call + (path.empty() ? "" : " ") + path + how);
  return flaw;
}

template <class T, class Call>
Result<T> FlakyOrigin::pass(const std::string& call, const std::string& path, Call todo) {
  const Flaw flaw = ask(call, path);
  if (flaw == Flaw::kBefore) return Error(ENOTCONN, "flaky.before");
  if (flaw == Flaw::kRefused) return Error(EIO, "flaky.refused");
  if (flaw == Flaw::kForbidden) return Error(EACCES, "flaky.forbidden");
  Result<T> done = todo();
  if (flaw == Flaw::kAfter) return Error(ETIMEDOUT, "flaky.after");
  return done;
}

Result<NodeInfo> FlakyOrigin::stat(const std::string& path, Deadline deadline) {
  {
    sync::MutexLock lock(mutex_);
    ++looks_;
  }
  return pass<NodeInfo>("stat", path, [&] { return inner_.stat(path, deadline); });
}
void FlakyOrigin::set_before_list(std::function<void()> before) {
  sync::MutexLock lock(mutex_);
  before_list_ = std::move(before);
}
void FlakyOrigin::set_behind_list(std::function<void()> behind) {
  sync::MutexLock lock(mutex_);
  behind_list_ = std::move(behind);
}
Result<void> FlakyOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  std::function<void()> before;
  std::function<void()> behind;
  {
    sync::MutexLock lock(mutex_);
    before = before_list_;
    behind = behind_list_;
  }
  if (before) before();
  Result<void> listed = pass<void>("list", path, [&] { return inner_.list(path, deadline, sink); });
  if (behind) behind();
  return listed;
}
Result<std::string> FlakyOrigin::read_link(const std::string& path, Deadline deadline) {
  return pass<std::string>("read_link", path, [&] { return inner_.read_link(path, deadline); });
}
Result<FileSystemStats> FlakyOrigin::stat_file_system(Deadline deadline) {
  return inner_.stat_file_system(deadline);
}
Result<std::unique_ptr<OriginFile>> FlakyOrigin::open(const std::string& path, Deadline deadline) {
  return pass<std::unique_ptr<OriginFile>>("open", path,
                                           [&] { return inner_.open(path, deadline); });
}

void FlakyOrigin::issue_read(Subrequest& subrequest) {
  Flaw flaw = Flaw::kNone;
  {
    sync::MutexLock lock(mutex_);
    bytes_asked_for_ += subrequest.range().length_bytes;
    if (reads_ && is_uploader()) flaw = reads_();
  }
  if (flaw != Flaw::kNone) {
    return subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "flaky.read")});
  }
  inner_.issue_read(subrequest);
}

uint64_t FlakyOrigin::bytes_asked_for() {
  sync::MutexLock lock(mutex_);
  return bytes_asked_for_;
}

uint64_t FlakyOrigin::looks() {
  sync::MutexLock lock(mutex_);
  return looks_;
}

Result<NodeInfo> FlakyOrigin::make(const std::string& path, const NewNode& what,
                                   Deadline deadline) {
  return pass<NodeInfo>("make", path, [&] { return to_.make(path, what, deadline); });
}
Result<OpenedFile> FlakyOrigin::create(const std::string& path, const NewNode& what,
                                       Deadline deadline) {
  return pass<OpenedFile>("create", path, [&] { return to_.create(path, what, deadline); });
}
Result<OpenedFile> FlakyOrigin::open_for_writing(const std::string& path, Deadline deadline) {
  return pass<OpenedFile>("open_for_writing", path,
                          [&] { return to_.open_for_writing(path, deadline); });
}
Result<void> FlakyOrigin::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  return pass<void>("remove", path, [&] { return to_.remove(path, kind, deadline); });
}
Result<void> FlakyOrigin::rename(const std::string& from, const std::string& to, RenameHow how,
                                 Deadline deadline) {
  return pass<void>("rename", from, [&] { return to_.rename(from, to, how, deadline); });
}
Result<NodeInfo> FlakyOrigin::link(const FileAt& from, const std::string& to, Deadline deadline) {
  return pass<NodeInfo>("link", from.path, [&] { return to_.link(from, to, deadline); });
}
Result<Seen> FlakyOrigin::set_attributes(const FileAt& file, const AttributeChange& change,
                                         Deadline deadline) {
  return pass<Seen>("set_attributes", file.path,
                    [&] { return to_.set_attributes(file, change, deadline); });
}
void FlakyOrigin::issue_write(WriteSubrequest& subrequest) {
  const Flaw flaw = ask("write", "");
  if (flaw == Flaw::kNone) return to_.issue_write(subrequest);
  if (flaw == Flaw::kAfter) return to_.issue_write(*new HalfWrite(subrequest));
  const int error = flaw == Flaw::kBefore ? ENOTCONN : EIO;
  subrequest.terminated({.transferred_bytes = Error(error, "flaky.write")});
}
Result<void> FlakyOrigin::sync(const FileAt& file, SyncKind kind, Deadline deadline) {
  return pass<void>("sync", file.path, [&] { return to_.sync(file, kind, deadline); });
}
Result<void> FlakyOrigin::sync_all(Deadline deadline) {
  return pass<void>("sync_all", "", [&] { return to_.sync_all(deadline); });
}
Result<Seen> FlakyOrigin::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                   Deadline deadline) {
  return pass<Seen>("allocate", "", [&] { return to_.allocate(file, mode, range, deadline); });
}

}  // namespace netfs::test
