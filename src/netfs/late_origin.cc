#include "netfs/late_origin.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netfs/late_locks.h"
#include "netfs/late_writer.h"
#include "telemetry/log.h"

namespace netfs {

namespace {

constexpr Duration kPauseMin = std::chrono::milliseconds(100);
constexpr Duration kPauseMax = std::chrono::seconds(5);
constexpr const char* kRoom = "origin";

// What was known is what is shown of it: one that can do more is none the worse.
bool can_do(const OriginCapabilities& found, const OriginCapabilities& known) {
  return found.validator_strength == known.validator_strength && found.identity == known.identity &&
         found.validator_granularity <= known.validator_granularity &&
         (found.range_reads || !known.range_reads) &&
         (found.parallel_reads || !known.parallel_reads) &&
         (found.handles_outlive_connections || !known.handles_outlive_connections);
}

bool can_do(const WriteCapabilities& found, const WriteCapabilities& known) {
  return found.changes_by_handle == known.changes_by_handle &&
         (found.files_outlive_names || !known.files_outlive_names) &&
         (!found.validator_can_be_set || known.validator_can_be_set) &&
         (found.extended_attributes || !known.extended_attributes) &&
         (found.posix_acls || !known.posix_acls) && (found.tells_holes || !known.tells_holes) &&
         (found.copies || !known.copies) && (found.nameless_files || !known.nameless_files);
}

}  // namespace

Result<KnownOrigin> describe(Origin& origin, Deadline deadline) {
  KnownOrigin known{.volume_key = origin.volume_key(),
                    .root_identity = {},
                    .capabilities = origin.capabilities(),
                    .writes = {},
                    .locks = origin.locks() != nullptr,
                    .mount_id = {}};
  if (const OriginWriter* writer = origin.writer()) known.writes = writer->write_capabilities();
  if (known.capabilities.identity) {
    known.root_identity = TRY(origin.stat("", deadline)).identity;
  }
  return known;
}

std::unique_ptr<LateOrigin> LateOrigin::create(Options options) {
  const MonoTime until = Clock::system().now() + options.first_wait;
  std::unique_ptr<LateOrigin> late(new LateOrigin(std::move(options)));
  LateOrigin* raw = late.get();
  late->thread_ = sync::Thread("netfs-late", [raw] { raw->run(); });
  late->settle(until);
  return late;
}

LateOrigin::LateOrigin(Options options) : options_(std::move(options)), known_(options_.known) {}

LateOrigin::~LateOrigin() {
  stop();
}

// From here on nothing of what is known changes any more.
void LateOrigin::settle(MonoTime until) {
  {
    sync::MutexLock lock(mutex_);
    while (attempts_ == 0 && changed_.wait_until(mutex_, until)) {
    }
    settled_ = true;
  }
  if (known_.writes) writer_ = std::make_unique<LateWriter>(*this, *known_.writes);
  if (known_.locks) locks_ = std::make_unique<LateLocks>(*this);
}

void LateOrigin::stop() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::string LateOrigin::other_than_known(const KnownOrigin& found) const {
  const KnownOrigin& known = options_.known;
  if (found.volume_key != known.volume_key) {
    return "it is another tree: " + found.volume_key + ", and was " + known.volume_key;
  }
  const bool both_tell = found.capabilities.identity && known.capabilities.identity;
  if (both_tell && found.root_identity != known.root_identity) {
    return "another directory has its place: mount it anew to see that";
  }
  const bool may_write = !known.writes || !options_.is_written ||
                         (found.writes && can_do(*found.writes, *known.writes));
  // In time, what it can do now counts.
  if (settled_ && !(may_write && can_do(found.capabilities, known.capabilities))) {
    return "it has other abilities than before: mount it anew to use it";
  }
  return {};
}

void LateOrigin::attempt() {
  Result<std::unique_ptr<Origin>> opened = options_.open();
  Result<KnownOrigin> found = Error(ENOTCONN, kRoom);
  if (opened.ok()) {
    const Deadline soon = Deadline::after(Clock::system(), options_.timeout);
    found = describe(*opened.value(), soon);
  } else {
    found = std::move(opened).error();
  }
  std::string trouble;
  bool is_new = false;
  bool was_away = false;
  {
    sync::MutexLock lock(mutex_);
    ++attempts_;
    was_away = !last_error_.empty();
    std::string other = found.ok() ? other_than_known(found.value()) : std::string();
    is_another_ = !other.empty();
    if (found.ok() && !is_another_) {
      if (!settled_) {
        known_ = std::move(found).value();
        // Users have them of it: they are told by each call if it has none any more.
        known_.locks = known_.locks || options_.known.locks;
        known_.mount_id = options_.known.mount_id;
      }
      origin_ = std::move(opened).value();
      there_ = origin_.get();
    } else {
      trouble = is_another_ ? std::move(other) : found.error().message();
      is_new = trouble != last_error_;
      last_error_ = trouble;
    }
    changed_.notify_all();
  }
  if (trouble.empty()) {
    if (was_away) telemetry::log_info(kRoom, "{} is back", known_.volume_key);
  } else if (is_new) {
    telemetry::log_warn(kRoom, "{} cannot be used yet: {}", options_.known.volume_key, trouble);
  }
}

void LateOrigin::run() {
  Duration pause = kPauseMin;
  while (!is_there()) {
    attempt();
    sync::MutexLock lock(mutex_);
    const MonoTime until = Clock::system().now() + pause;
    while (!stopping_ && !is_there() && changed_.wait_until(mutex_, until)) {
    }
    if (stopping_) return;
    pause = std::min(pause * 2, kPauseMax);
  }
}

Result<Origin*> LateOrigin::reach(Deadline deadline) {
  if (Origin* there = there_.load()) return there;
  sync::MutexLock lock(mutex_);
  while (!is_there()) {
    if (stopping_) return Error(ECANCELED, kRoom);
    const MonoTime now = Clock::system().now();
    const MonoTime patient_until = since_ + options_.patience;
    if (now >= patient_until) return Error(ENOTCONN, kRoom, last_error_);
    if (deadline.passed(now)) return Error(ETIMEDOUT, kRoom, last_error_);
    changed_.wait_until(mutex_, std::min(deadline.at, patient_until));
  }
  return there_.load();
}

Result<NodeInfo> LateOrigin::stat(const std::string& path, Deadline deadline) {
  return TRY(reach(deadline))->stat(path, deadline);
}

Result<void> LateOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  return TRY(reach(deadline))->list(path, deadline, sink);
}

Result<std::string> LateOrigin::read_link(const std::string& path, Deadline deadline) {
  return TRY(reach(deadline))->read_link(path, deadline);
}

Result<FileSystemStats> LateOrigin::stat_file_system(Deadline deadline) {
  return TRY(reach(deadline))->stat_file_system(deadline);
}

Result<std::unique_ptr<OriginFile>> LateOrigin::open(const std::string& path, Deadline deadline) {
  return TRY(reach(deadline))->open(path, deadline);
}

// Null: then it is opened by a call that may wait.
std::unique_ptr<OriginFile> LateOrigin::open_by_read(const std::string& path) {
  Origin* there = there_.load();
  return there == nullptr ? nullptr : there->open_by_read(path);
}

// Of a file that the origin has opened: it is there.
void LateOrigin::issue_read(Subrequest& subrequest) {
  there_.load()->issue_read(subrequest);
}

OriginWriter* LateOrigin::writer() {
  return writer_.get();
}

OriginLocks* LateOrigin::locks() {
  return locks_.get();
}

StatusFields LateOrigin::status() const {
  if (const Origin* there = there_.load()) return there->status();
  sync::MutexLock lock(mutex_);
  if (last_error_.empty()) return {{"state", "is being reached"}};
  const auto away =
      std::chrono::duration_cast<std::chrono::seconds>(Clock::system().now() - since_);
  return {{"state", is_another_ ? "not used" : "away"},
          {"away_since", fmt::format("{} s", away.count())},
          {"last_error", last_error_}};
}

}  // namespace netfs
