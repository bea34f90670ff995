#include "tests/crash/stopping_origin.h"

#include <cerrno>
#include <type_traits>
#include <utility>

namespace netfs::test {

namespace {

constexpr Duration kPatience = std::chrono::seconds(60);

// What a local folder says of a version, without change times and inodes: local_file.cc.
void weaken(Validator& validator) {
  constexpr size_t kTimeBytes = sizeof(int64_t) + sizeof(uint32_t);
  const std::string all = std::move(validator.bytes);
  validator.bytes = all.substr(0, kTimeBytes) + all.substr(2 * kTimeBytes, sizeof(uint64_t));
}

void weaken(NodeInfo& info) {
  info.identity.clear();
  weaken(info.validator);
}

class WeakRead final : public Subrequest {
 public:
  explicit WeakRead(Subrequest& outer)
      : Subrequest(outer.file(), outer.range(), outer.destination(), outer.deadline()),
        outer_(outer) {}
  void terminated(ReadOutcome outcome) override {
    const std::unique_ptr<WeakRead> self(this);
    if (outcome.validator_after) weaken(*outcome.validator_after);
    if (outcome.validator_before) weaken(*outcome.validator_before);
    outer_.terminated(std::move(outcome));
  }

 private:
  Subrequest& outer_;
};

Error cut_off() {
  return Error(ENOTCONN, "stopping_origin");
}

}  // namespace

StoppingOrigin::StoppingOrigin(Origin& inner, Kind kind)
    : inner_(inner),
      to_(*inner.writer()),
      kind_(kind),
      capabilities_(inner.capabilities()),
      can_write_(to_.write_capabilities()) {
  capabilities_.identity = kind.identities;
  if (kind.files_outlive_names) return;
  can_write_.files_outlive_names = false;
  can_write_.changes_by_handle = false;
  can_write_.nameless_files = false;
}

void StoppingOrigin::stop_at(At at, std::string call) {
  sync::MutexLock lock(mutex_);
  at_ = at;
  call_ = std::move(call);
  stopped_ = false;
}

void StoppingOrigin::come_twice() {
  sync::MutexLock lock(mutex_);
  twice_ = true;
}

bool StoppingOrigin::comes_twice() {
  sync::MutexLock lock(mutex_);
  return std::exchange(twice_, false);
}

bool StoppingOrigin::wait_stopped() {
  const MonoTime until = Clock::system().now() + kPatience;
  sync::MutexLock lock(mutex_);
  while (!stopped_) {
    if (!changed_.wait_until(mutex_, until) && !stopped_) return false;
  }
  return true;
}

void StoppingOrigin::cut() {
  sync::MutexLock lock(mutex_);
  cut_ = true;
  changed_.notify_all();
}

void StoppingOrigin::mend() {
  sync::MutexLock lock(mutex_);
  cut_ = false;
  at_ = At::kNowhere;
}

std::vector<std::string> StoppingOrigin::changes() {
  sync::MutexLock lock(mutex_);
  return changes_;
}

bool StoppingOrigin::is_cut(At at, const std::string& call) {
  sync::MutexLock lock(mutex_);
  if (at_ == at && at != At::kNowhere && call_ == call && !cut_) {
    at_ = At::kNowhere;
    stopped_ = true;
    changed_.notify_all();
    while (!cut_) changed_.wait(mutex_);
  }
  return cut_;
}

void StoppingOrigin::note(const std::string& call, const std::string& path) {
  if (path.find(".netfs-") != std::string::npos) return;
  sync::MutexLock lock(mutex_);
  changes_.push_back(call + " " + path);
}

template <class T, class Call>
Result<T> StoppingOrigin::look(Call todo) {
  if (is_cut(At::kNowhere, "")) return cut_off();
  Result<T> result = todo();
  if constexpr (std::is_same_v<T, NodeInfo>) {
    if (result.ok() && !kind_.identities) weaken(result.value());
  }
  if constexpr (std::is_same_v<T, OpenedFile>) {
    if (result.ok() && !kind_.identities) weaken(result.value().info);
  }
  if constexpr (std::is_same_v<T, Seen>) {
    if (result.ok() && !kind_.identities) {
      if (result.value().before) weaken(*result.value().before);
      if (result.value().after) weaken(*result.value().after);
    }
  }
  return result;
}

template <class T, class Call>
Result<T> StoppingOrigin::change(const std::string& call, const std::string& path, Call todo) {
  if (is_cut(At::kBefore, call)) return cut_off();
  if (comes_twice() && todo().ok()) note(call, path);
  Result<T> result = look<T>(todo);
  if (result.ok()) note(call, path);
  if (is_cut(At::kMade, call)) return cut_off();
  return result;
}

Result<NodeInfo> StoppingOrigin::stat(const std::string& path, Deadline deadline) {
  return look<NodeInfo>([&] { return inner_.stat(path, deadline); });
}
Result<void> StoppingOrigin::list(const std::string& path, Deadline deadline,
                                  const EntrySink& sink) {
  return look<void>([&] {
    return inner_.list(path, deadline, [&](OriginEntry entry) {
      if (!kind_.identities) weaken(entry.info);
      return sink(std::move(entry));
    });
  });
}
Result<std::string> StoppingOrigin::read_link(const std::string& path, Deadline deadline) {
  return look<std::string>([&] { return inner_.read_link(path, deadline); });
}
Result<FileSystemStats> StoppingOrigin::stat_file_system(Deadline deadline) {
  return look<FileSystemStats>([&] { return inner_.stat_file_system(deadline); });
}
Result<std::unique_ptr<OriginFile>> StoppingOrigin::open(const std::string& path,
                                                         Deadline deadline) {
  return look<std::unique_ptr<OriginFile>>([&] { return inner_.open(path, deadline); });
}

void StoppingOrigin::issue_read(Subrequest& subrequest) {
  if (kind_.identities) return inner_.issue_read(subrequest);
  inner_.issue_read(*new WeakRead(subrequest));
}

Result<NodeInfo> StoppingOrigin::make(const std::string& path, const NewNode& what,
                                      Deadline deadline) {
  return change<NodeInfo>("make", path, [&] { return to_.make(path, what, deadline); });
}
Result<OpenedFile> StoppingOrigin::create(const std::string& path, const NewNode& what,
                                          Deadline deadline) {
  return change<OpenedFile>("create", path, [&] { return to_.create(path, what, deadline); });
}
Result<NodeInfo> StoppingOrigin::finish(const std::string& path, const NewNode& what,
                                        Deadline deadline) {
  return look<NodeInfo>([&] { return to_.finish(path, what, deadline); });
}
Result<OpenedFile> StoppingOrigin::open_for_writing(const std::string& path, Deadline deadline) {
  return look<OpenedFile>([&] { return to_.open_for_writing(path, deadline); });
}
Result<void> StoppingOrigin::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  return change<void>("remove", path, [&] { return to_.remove(path, kind, deadline); });
}
Result<void> StoppingOrigin::rename(const std::string& from, const std::string& to, RenameHow how,
                                    Deadline deadline) {
  return change<void>("rename", from + " " + to,
                      [&] { return to_.rename(from, to, how, deadline); });
}
Result<NodeInfo> StoppingOrigin::link(const FileAt& from, const std::string& to,
                                      Deadline deadline) {
  if (!kind_.links) return Error(EPERM, "stopping_origin");
  return change<NodeInfo>("link", to, [&] { return to_.link(from, to, deadline); });
}
Result<Seen> StoppingOrigin::set_attributes(const FileAt& file, const AttributeChange& change,
                                            Deadline deadline) {
  return look<Seen>([&] { return to_.set_attributes(file, change, deadline); });
}
Result<void> StoppingOrigin::sync(const FileAt& file, SyncKind kind, Deadline deadline) {
  return look<void>([&] { return to_.sync(file, kind, deadline); });
}
Result<void> StoppingOrigin::sync_all(Deadline deadline) {
  return look<void>([&] { return to_.sync_all(deadline); });
}
Result<Seen> StoppingOrigin::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                      Deadline deadline) {
  return look<Seen>([&] { return to_.allocate(file, mode, range, deadline); });
}

Result<std::string> StoppingOrigin::get_xattr(const FileAt& file, const std::string& name,
                                              Deadline deadline) {
  return look<std::string>([&] { return to_.get_xattr(file, name, deadline); });
}
Result<Seen> StoppingOrigin::set_xattr(const FileAt& file, const std::string& name,
                                       const std::string& value, uint32_t flags,
                                       Deadline deadline) {
  return change<Seen>("set_xattr", file.path,
                      [&] { return to_.set_xattr(file, name, value, flags, deadline); });
}
Result<Seen> StoppingOrigin::remove_xattr(const FileAt& file, const std::string& name,
                                          Deadline deadline) {
  return change<Seen>("remove_xattr", file.path,
                      [&] { return to_.remove_xattr(file, name, deadline); });
}

}  // namespace netfs::test
