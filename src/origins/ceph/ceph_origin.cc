#include "origins/ceph/ceph_origin.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/statvfs.h>
#include <utility>

#include "telemetry/log.h"

namespace netfs::origins::ceph {

namespace {

// More than the mount's own workers: some may stand in calls that nobody waits for any more.
constexpr unsigned kCallThreads = 64;
constexpr unsigned kTransferThreads = 16;
// For calls that are to end when the client is given back, or never do.
constexpr Duration kCloseTimeout = std::chrono::seconds(2);
// libcephfs counts its timeout in whole seconds, and says more of what is wrong than that it is
// late.
constexpr Duration kMountLonger = std::chrono::seconds(2);

// Reads until the range is full, the file ends or an error comes.
ReadOutcome read_range(const OpenHandle& file, ByteRange range, char* to) {
  ReadOutcome outcome;
  if (Result<void> usable = file.usable(); !usable.ok()) {
    outcome.transferred_bytes = usable.error();
    return outcome;
  }
  uint64_t done = 0;
  while (done < range.length_bytes) {
    const int n = ::ceph_ll_read(file.session().mount(), file.get(),
                                 static_cast<int64_t>(range.offset_bytes + done),
                                 range.length_bytes - done, to + done);
    if (n < 0) {
      outcome.transferred_bytes = file.session().error(n, "ceph.read");
      return outcome;
    }
    if (n == 0) {
      outcome.hit_end_of_file = true;
      break;
    }
    done += std::min<uint64_t>(static_cast<uint64_t>(n), range.length_bytes - done);
  }
  outcome.transferred_bytes = done;
  if (Result<NodeInfo> after = look_at(file.node()); after.ok()) {
    outcome.validator_after = std::move(after.value().validator);
  }
  return outcome;
}

std::string key_of(const Ref<Session>& session, const Settings& settings) {
  std::string cluster(64, '\0');
  Result<Found> root = find(session, "");
  const int length = root.ok() ? ::ceph_ll_getxattr(session->mount(), root.value().node.inode(),
                                                    "ceph.cluster_fsid", cluster.data(),
                                                    cluster.size(), session->user())
                               : 0;
  cluster.resize(static_cast<size_t>(std::max(length, 0)));
  return fmt::format("ceph://{}/{}{} id={} uid={} gid={}", cluster, settings.file_system,
                     settings.path, settings.id, settings.uid, settings.gid);
}

}  // namespace

Result<Ref<OpenHandle>> open_node(Found found, int flags) {
  const FileType type = found.info.attributes.type;
  if (type == FileType::kDirectory) return Error(EISDIR, "ceph.open");
  if (type == FileType::kSymlink) return Error(ELOOP, "ceph.open");
  if (type != FileType::kRegular) return Error(EINVAL, "ceph.open");
  Session& session = found.node.session();
  Fh* handle = nullptr;
  const int opened =
      ::ceph_ll_open(session.mount(), found.node.inode(), flags, &handle, session.user());
  if (opened < 0) return session.error(opened, "ceph.open");
  return make_ref<OpenHandle>(std::move(found.node), handle);
}

CephOrigin::CephOrigin(Settings settings, std::unique_ptr<Calls> calls, Ref<Sessions> sessions,
                       std::string volume_key)
    : settings_(std::move(settings)),
      volume_key_(std::move(volume_key)),
      capabilities_{.validator_strength = ValidatorStrength::kStrong,
                    .validator_granularity = Duration::zero(),
                    .identity = true,
                    .locks_end_with_process = true},
      sessions_(std::move(sessions)),
      calls_(std::move(calls)),
      transfers_("netfs-ceph-io", kTransferThreads),
      overdue_(make_ref<Overdue>()),
      writer_(*calls_, transfers_, overdue_, sessions_),
      locks_(*calls_, sessions_) {}

CephOrigin::~CephOrigin() {
  // Gives back what the cluster lent it, which it does not wait for where nobody answers.
  (void)calls_
      ->run(Calls::Kind::kLook, Deadline::within(settings_.timeout),
            [sessions = sessions_]() -> Result<void> {
              (void)sessions->close();
              return {};
            })
      .ok();
  const Deadline deadline = Deadline::within(kCloseTimeout);
  const bool transferred = transfers_.close(deadline);
  if (!calls_->close(deadline) || !transferred) {
    telemetry::log_warn("ceph", "{}: the cluster does not answer: what was asked of it is left",
                        settings_.url);
  }
}

Result<std::unique_ptr<Origin>> CephOrigin::open(const OriginRequest& request) {
  const Settings settings = TRY(Settings::parse(request));
  auto calls = std::make_unique<Calls>("netfs-ceph", kCallThreads);
  auto sessions = make_ref<Sessions>(settings);
  const Deadline deadline = Deadline::after(*request.clock, request.timeout + kMountLonger);
  Result<std::string> key =
      calls->run(Calls::Kind::kLook, deadline, [sessions, settings]() -> Result<std::string> {
        return key_of(TRY(sessions->acquire()), settings);
      });
  if (!key.ok()) {
    (void)sessions->close();  // what comes too late is let go of
    (void)calls->close(Deadline::within(std::chrono::seconds(1)));
    if (!key.is_error(ETIMEDOUT) || !key.error().detail().empty()) return key.error();
    return Error(ETIMEDOUT, "ceph.mount",
                 fmt::format("{}: the metadata server does not answer", settings.url));
  }
  return std::unique_ptr<Origin>(
      new CephOrigin(settings, std::move(calls), std::move(sessions), std::move(key).value()));
}

Result<NodeInfo> CephOrigin::stat(const std::string& path, Deadline deadline) {
  return calls_->look(deadline, [sessions = sessions_, path]() -> Result<NodeInfo> {
    return TRY(find(sessions, path)).info;
  });
}

Result<std::string> CephOrigin::read_link(const std::string& path, Deadline deadline) {
  return calls_->look(deadline, [sessions = sessions_, path]() -> Result<std::string> {
    const Ref<Session> session = TRY(sessions->acquire());
    const Found found = TRY(find(session, path));
    if (found.info.attributes.type != FileType::kSymlink) return Error(EINVAL, "ceph.readlink");
    std::string target(PATH_MAX, '\0');
    const int length = ::ceph_ll_readlink(session->mount(), found.node.inode(), target.data(),
                                          target.size(), session->user());
    if (length < 0) return session->error(length, "ceph.readlink");
    target.resize(std::min(static_cast<size_t>(length), target.size()));
    return target;
  });
}

Result<FileSystemStats> CephOrigin::stat_file_system(Deadline deadline) {
  return calls_->look(deadline, [sessions = sessions_]() -> Result<FileSystemStats> {
    const Ref<Session> session = TRY(sessions->acquire());
    const Found root = TRY(find(session, ""));
    struct statvfs st {};
    const int asked = ::ceph_ll_statfs(session->mount(), root.node.inode(), &st);
    if (asked < 0) return session->error(asked, "ceph.statfs");
    // It counts blocks of an object's size, and no files that there is room for.
    return FileSystemStats{.block_bytes = st.f_frsize,
                           .blocks = st.f_blocks,
                           .blocks_free = st.f_bfree,
                           .blocks_available = st.f_bavail,
                           .files = st.f_files,
                           .name_length_max = static_cast<uint32_t>(st.f_namemax)};
  });
}

Result<std::unique_ptr<OriginFile>> CephOrigin::open(const std::string& path, Deadline deadline) {
  Result<Ref<OpenHandle>> opened =
      calls_->look(deadline, [sessions = sessions_, path]() -> Result<Ref<OpenHandle>> {
        Found found = TRY(find(sessions, path));
        return open_node(std::move(found), O_RDONLY);
      });
  Ref<OpenHandle> handle = TRY(std::move(opened));
  return std::unique_ptr<OriginFile>(std::make_unique<CephFile>(std::move(handle), *calls_));
}

// Into memory of its own: that of the subrequest is another's once its time is up.
void CephOrigin::issue_read(Subrequest& subrequest) {
  const Overdue::Ticket ticket = overdue_->add(subrequest.deadline(), [&subrequest] {
    subrequest.terminated({.transferred_bytes = Error(ETIMEDOUT, "ceph.read")});
  });
  const bool posted =
      transfers_.post([overdue = overdue_, ticket, &subrequest, range = subrequest.range(),
                       file = static_cast<CephFile&>(subrequest.file()).handle()]() mutable {
        if (!overdue->has(ticket)) return;
        const auto bytes = std::make_unique_for_overwrite<char[]>(range.length_bytes);
        ReadOutcome outcome = read_range(*file, range, bytes.get());
        file = nullptr;
        if (!overdue->claim(ticket)) return;
        if (outcome.transferred_bytes.ok()) {
          std::memcpy(subrequest.destination().data(), bytes.get(),
                      outcome.transferred_bytes.value());
        }
        subrequest.terminated(std::move(outcome));
      });
  if (!posted && overdue_->claim(ticket)) {
    subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "ceph.read")});
  }
}

StatusFields CephOrigin::status() const {
  StatusFields fields = {
      {"file system", settings_.file_system},
      {"root", settings_.path},
      {"client", "client." + settings_.id},
      {"requests under way", std::to_string(calls_->under_way() + transfers_.under_way())},
      {"lost sessions", std::to_string(sessions_->losses())},
  };
  return fields;
}

}  // namespace netfs::origins::ceph
