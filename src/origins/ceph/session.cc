#include "origins/ceph/session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "telemetry/log.h"

namespace netfs::origins::ceph {

namespace {

// libcephfs's own of this meaning.
constexpr int kNoMetadataServer = 4;
// Sessions of one process that a process after it may find; those before were given up long ago.
constexpr uint64_t kNames = 8;

Error said(int code, const Settings& settings, const std::string& what) {
  return Error(code, "ceph.mount", fmt::format("{}: {}", settings.url, what));
}

// One that is not mounted yet.
class Client {
 public:
  explicit Client(ceph_mount_info* mount) : mount_(mount) {}
  Client(Client&& other) noexcept
      : mount_(std::exchange(other.mount_, nullptr)), mounted_(other.mounted_) {}
  Client& operator=(Client&& other) noexcept {
    std::swap(mount_, other.mount_);
    std::swap(mounted_, other.mounted_);
    return *this;
  }
  ~Client() {
    if (mount_ == nullptr) return;
    if (mounted_) (void)::ceph_unmount(mount_);
    (void)::ceph_release(mount_);
  }
  [[nodiscard]] ceph_mount_info* get() const { return mount_; }
  [[nodiscard]] std::string setting(const char* name) const {
    std::vector<char> value(4096);
    if (::ceph_conf_get(mount_, name, value.data(), value.size()) < 0) return {};
    return value.data();
  }
  int mount(const std::string& path) {
    const int mounted = ::ceph_mount(mount_, path.c_str());
    mounted_ = mounted == 0;
    return mounted;
  }
  ceph_mount_info* release() { return std::exchange(mount_, nullptr); }

 private:
  ceph_mount_info* mount_;
  bool mounted_ = false;
};

Result<void> read_conf(const Client& client, const Settings& settings) {
  if (!settings.conf.empty() && ::access(settings.conf.c_str(), R_OK) != 0) {
    return said(errno, settings,
                fmt::format("cannot read conf={}: {}", settings.conf, strerror(errno)));
  }
  const char* const file = settings.conf.empty() ? nullptr : settings.conf.c_str();
  if (const int read = ::ceph_conf_read_file(client.get(), file); read != 0) {
    const std::string name = file == nullptr ? "/etc/ceph/ceph.conf" : settings.conf;
    return said(
        -read, settings,
        fmt::format("{} is no configuration of Ceph ({}); give conf=FILE", name, strerror(-read)));
  }
  if (client.setting("mon_host").empty()) {
    return said(EINVAL, settings, "the configuration names no monitor (mon host); give conf=FILE");
  }
  return {};
}

// A key is looked for in these, in turn.
bool any_can_be_read(const std::string& files) {
  for (size_t at = 0; at < files.size();) {
    const size_t end = std::min(files.find_first_of(", ;", at), files.size());
    if (end > at && ::access(files.substr(at, end - at).c_str(), R_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

Result<void> find_key(const Client& client, const Settings& settings) {
  if (!settings.keyring.empty()) {
    (void)::ceph_conf_set(client.get(), "keyring", settings.keyring.c_str());
  } else if (!client.setting("key").empty() || !client.setting("keyfile").empty()) {
    return {};
  }
  const std::string files = client.setting("keyring");
  if (any_can_be_read(files) || client.setting("auth_client_required") == "none") return {};
  return said(EACCES, settings,
              fmt::format("no key of client.{}: none of {} can be read; give keyring=FILE, or "
                          "another id=NAME",
                          settings.id, files));
}

void configure(const Client& client, const Settings& settings) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(settings.timeout).count();
  const std::string timeout = std::to_string(std::max<int64_t>(seconds, 1));
  const std::pair<const char*, std::string> settings_of_ours[] = {
      {"client_mount_timeout", timeout},
      {"rados_osd_op_timeout", timeout},
      {"rados_mon_op_timeout", timeout},
      // Bytes are kept here already, and what was written is to be there.
      {"client_oc", "false"},
      {"client_acl_type", "posix_acl"},
      // Who is root is asked for nothing, and makes what belongs to others; of all others this
      // client is the one who looks at permissions.
      {"fuse_default_permissions", settings.uid == 0 ? "true" : "false"},
      {"client_permissions", "true"},
      // The sum of all below would say that a directory changed when a file did.
      {"client_dirsize_rbytes", "false"},
      {"log_to_stderr", "false"},
      {"err_to_stderr", "false"},
  };
  for (const auto& [name, value] : settings_of_ours) {
    (void)::ceph_conf_set(client.get(), name, value.c_str());
  }
}

// With the monitors' word that it is who it says.
Result<Client> connect(const Settings& settings) {
  ceph_mount_info* made = nullptr;
  if (const int created = ::ceph_create(&made, settings.id.c_str()); created != 0) {
    return Error(-created, "ceph.create");
  }
  Client client(made);
  TRY(read_conf(client, settings));
  TRY(find_key(client, settings));
  configure(client, settings);
  const int begun = ::ceph_init(client.get());
  if (begun == -EACCES || begun == -EPERM || begun == -ENOENT || begun == -EINVAL) {
    return said(EACCES, settings,
                fmt::format("the monitors do not take client.{} with the key of {}; check id= and "
                            "keyring=",
                            settings.id, client.setting("keyring")));
  }
  if (begun == -ETIMEDOUT) {
    return said(ETIMEDOUT, settings,
                fmt::format("no monitor answers at {}", client.setting("mon_host")));
  }
  if (begun != 0) return said(-begun, settings, strerror(-begun));
  const std::string& name = settings.file_system;
  if (const int chosen = ::ceph_select_filesystem(client.get(), name.c_str()); chosen != 0) {
    return said(-chosen, settings, strerror(-chosen));
  }
  return client;
}

Error mount_error(int code, const Settings& settings) {
  switch (code) {
    case kNoMetadataServer:
      return said(ENOTCONN, settings,
                  fmt::format("no metadata server of '{}' is up", settings.file_system));
    case EACCES:
    case EPERM:
      return said(EACCES, settings,
                  fmt::format("client.{} may not see this; look at its mds caps", settings.id));
    default:
      return said(code, settings, strerror(code));
  }
}

FileType type_of_root(ceph_mount_info* mount) {
  Inode* root = nullptr;
  struct ceph_statx stx {};
  if (::ceph_ll_lookup_root(mount, &root) != 0) return FileType::kUnknown;
  const int asked =
      ::ceph_ll_getattr(mount, root, &stx, CEPH_STATX_MODE, 0, ::ceph_mount_perms(mount));
  (void)::ceph_ll_put(mount, root);
  if (asked != 0) return FileType::kUnknown;
  return S_ISDIR(stx.stx_mode)   ? FileType::kDirectory
         : S_ISLNK(stx.stx_mode) ? FileType::kSymlink
                                 : FileType::kRegular;
}

// Where the path leads when links on it are followed; the metadata server follows none.
Result<std::string> resolved(const Settings& settings) {
  Client client = TRY(connect(settings));
  if (const int mounted = client.mount("/"); mounted != 0) {
    if (mounted != -ENOENT) return mount_error(-mounted, settings);
    return said(ENOENT, settings,
                fmt::format("the cluster has no file system '{}'", settings.file_system));
  }
  if (const int moved = ::ceph_chdir(client.get(), settings.path.c_str()); moved != 0) {
    return mount_error(-moved, settings);
  }
  return std::string(::ceph_getcwd(client.get()));
}

sync::Mutex attempts_mutex{kAttemptsLock};
std::set<std::string> attempts GUARDED_BY(attempts_mutex);  // by the names of their mounts

// Nobody takes a mount's name while another attempt of this process may: one that was given up
// hangs in libcephfs, and goes on when its metadata server answers.
class Attempt {
 public:
  explicit Attempt(std::string name) : name_(std::move(name)) {
    sync::MutexLock lock(attempts_mutex);
    begun_ = name_.empty() || attempts.insert(name_).second;
  }
  ~Attempt() {
    sync::MutexLock lock(attempts_mutex);
    if (begun_) attempts.erase(name_);
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  [[nodiscard]] bool begun() const { return begun_; }

 private:
  const std::string name_;
  bool begun_ = false;
};

std::string name_of(const Settings& settings, uint64_t number) {
  return fmt::format("{}-{}", settings.mount_id, number % kNames);
}

// What has that name is thrown out, and what it had of the cluster is free.
void throw_out(const Client& client, const std::string& name) {
  const int begun = ::ceph_start_reclaim(client.get(), name.c_str(), CEPH_RECLAIM_RESET);
  if (begun == 0) telemetry::log_info("ceph", "client {} of before is thrown out", name);
  if (begun != 0 && begun != -ENOENT) {
    telemetry::log_warn("ceph", "client {} of before may be there still: {}", name,
                        strerror(-begun));
  }
  ::ceph_finish_reclaim(client.get());
}

void take_name(const Client& client, const Settings& settings, uint64_t number) {
  if (settings.mount_id.empty()) return;
  for (uint64_t other = 1; number == 0 && settings.follows && other < kNames; ++other) {
    throw_out(client, name_of(settings, other));
  }
  // Also one of an attempt that failed: a name that is there twice, and asked for, ends a metadata
  // server (16.2).
  throw_out(client, name_of(settings, number));
  ::ceph_set_uuid(client.get(), name_of(settings, number).c_str());
}

Result<Client> mount_path(const Settings& settings, const std::string& path, UserPerm* user,
                          uint64_t number) {
  Client client = TRY(connect(settings));
  take_name(client, settings, number);
  (void)::ceph_mount_perms_set(client.get(), user);
  if (const int mounted = client.mount(path); mounted != 0) return Error(-mounted, "ceph.mount");
  const FileType type = type_of_root(client.get());
  if (type == FileType::kSymlink) return Error(ELOOP, "ceph.mount");
  if (type == FileType::kRegular) return said(ENOTDIR, settings, strerror(ENOTDIR));
  return client;
}

Result<ceph_mount_info*> mount_as(const Settings& settings, UserPerm* user, uint64_t number) {
  Result<Client> client = mount_path(settings, settings.path, user, number);
  if (client.is_error(ELOOP) || client.is_error(ENOENT) || client.is_error(ENOTDIR)) {
    if (!client.error().detail().empty()) return client.error();
    const std::string path = TRY(resolved(settings));
    client = mount_path(settings, path, user, number);
  }
  if (!client.ok()) {
    return client.error().detail().empty() ? mount_error(client.code(), settings) : client.error();
  }
  return client.value().release();
}

}  // namespace

Result<Ref<Session>> Session::mount(const Settings& settings, uint64_t number) {
  const Attempt attempt(settings.mount_id);
  if (!attempt.begun()) {
    return said(ETIMEDOUT, settings, "an attempt before this one still waits for the cluster");
  }
  std::vector<gid_t> groups(settings.groups.begin(), settings.groups.end());
  UserPerm* const user = ::ceph_userperm_new(settings.uid, settings.gid,
                                             static_cast<int>(groups.size()), groups.data());
  if (user == nullptr) return Error(ENOMEM, "ceph.mount");
  Result<ceph_mount_info*> mounted = mount_as(settings, user, number);
  if (!mounted.ok()) {
    ::ceph_userperm_destroy(user);
    return mounted.error();
  }
  return Ref<Session>(new Session(mounted.value(), user, settings.uid == 0));
}

Session::~Session() {
  (void)::ceph_unmount(mount_);
  (void)::ceph_release(mount_);
  ::ceph_userperm_destroy(user_);
}

Error Session::error(int64_t answer, const char* context) {
  int code = static_cast<int>(-answer);
  // Reads and writes by a handle of a client that was thrown out are EIO.
  if (code == EIO && !is_gone()) {
    Inode* root = nullptr;
    struct ceph_statx stx {};
    if (::ceph_ll_lookup_root(mount_, &root) == 0) {
      const int asked = ::ceph_ll_getattr(mount_, root, &stx, CEPH_STATX_ALL_STATS, 0, user_);
      (void)::ceph_ll_put(mount_, root);
      if (asked == -ESHUTDOWN || asked == -ENOTCONN) code = -asked;
    }
  }
  if (code == ESHUTDOWN || code == ENOTCONN || is_gone()) {
    give_up();
    return Error(ENOTCONN, context, "this client of the cluster is gone");
  }
  return Error(code, context);
}

Result<Ref<Session>> Sessions::acquire() {
  Ref<Session> gone;
  sync::MutexLock lock(mutex_);
  for (;;) {
    if (closed_) return Error(ENOTCONN, "ceph.session");
    if (current_ && !current_->is_gone()) return current_;
    if (!mounting_) break;
    changed_.wait(mutex_);
  }
  mounting_ = true;
  const uint64_t number = mounted_++;
  if (current_) ++losses_;
  gone = std::move(current_);
  current_ = nullptr;
  lock.unlock();
  gone = nullptr;
  Result<Ref<Session>> mounted = Session::mount(settings_, number);
  lock.lock();
  mounting_ = false;
  if (mounted.ok() && !closed_) current_ = mounted.value();
  changed_.notify_all();
  if (!mounted.ok() && losses_ > 0) {
    return Error(ENOTCONN, "ceph.session", mounted.error().message());
  }
  return mounted;
}

Ref<Session> Sessions::close() {
  sync::MutexLock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  return std::exchange(current_, nullptr);
}

uint64_t Sessions::losses() const {
  sync::MutexLock lock(mutex_);
  return losses_;
}

}  // namespace netfs::origins::ceph
