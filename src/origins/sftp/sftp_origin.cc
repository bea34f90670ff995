#include "origins/sftp/sftp_origin.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstring>
#include <deque>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>
#include <unordered_set>

#include "origins/sftp/read_job.h"
#include "origins/sftp/sftp_file.h"

namespace netfs::origins::sftp {

namespace {

constexpr unsigned kConnectionsMax = 32;
// READDIRs under way on one handle: the server works on them in order, so they are one walk.
constexpr size_t kReaddirsMax = 64;
// Names of a directory that are held until all are there; one with more is handed on as they come.
constexpr size_t kHeldNames = 1000;

Error not_regular(FileType type) {
  const int code = type == FileType::kDirectory ? EISDIR
                   : type == FileType::kSymlink ? ELOOP
                                                : EINVAL;
  return Error(code, "sftp.open");
}

Result<unsigned> parse_connections(const std::string& text) {
  unsigned count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count == 0 ||
      count > kConnectionsMax) {
    return Error(EINVAL, "sftp.options",
                 fmt::format("connections={}: give a number from 1 to {}", text, kConnectionsMax));
  }
  return count;
}

Result<std::string> readable_file(const std::string& name, const std::string& path) {
  if (::access(path.c_str(), R_OK) == 0) return path;
  const int code = errno;
  return Error(code, "sftp.options", fmt::format("{}={}: {}", name, path, strerror(code)));
}

Result<PoolOptions> pool_options(const OriginRequest& request) {
  PoolOptions options;
  options.target.user = request.url.user;
  options.target.host = request.url.host;
  options.target.port = request.url.port;
  options.target.timeout = request.timeout;
  for (const auto& [name, value] : request.options) {
    if (name == "identity") options.target.identity = TRY(readable_file(name, value));
    if (name == "known_hosts") options.target.known_hosts = TRY(readable_file(name, value));
    if (name == "ssh") options.target.program = value;
    if (name == "connections") options.connections_max = TRY(parse_connections(value));
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<Origin>> SftpOrigin::open(const OriginRequest& request) {
  PoolOptions options = TRY(pool_options(request));
  const std::string name = options.target.name();
  std::unique_ptr<Pool> pool = TRY(Pool::create(std::move(options), *request.clock));
  const Deadline deadline = Deadline::after(*request.clock, request.timeout);
  // The path of the short form is relative to the login's home: the server knows where that is.
  Asker probe(*pool, "", *request.clock);
  const std::string wanted = request.url.path.empty() ? "." : request.url.path;
  const Answer answer = TRY(probe.ask(deadline, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kRealpath, id, wanted);
  }));
  const auto no_such = [&](const Error& error) {
    return Error(error.code(), "sftp.open",
                 fmt::format("{}: {} on the server: {}", name, wanted, strerror(error.code())));
  };
  if (Result<void> is_name = expect(answer, PacketType::kName, "sftp.realpath"); !is_name.ok()) {
    return no_such(is_name.error());
  }
  const std::vector<NameEntry> names = TRY(decode_names(answer.reader()));
  if (names.size() != 1 || names[0].name.empty() || names[0].name[0] != '/') {
    return Error(EIO, "sftp.realpath", name + ": the server does not resolve the path");
  }
  std::unique_ptr<SftpOrigin> origin(
      new SftpOrigin(std::move(pool), std::string(names[0].name), *request.clock));
  const Result<NodeInfo> root = origin->stat("", deadline);
  if (!root.ok()) return no_such(root.error());
  if (root.value().attributes.type != FileType::kDirectory) return no_such(Error(ENOTDIR, "sftp"));
  return std::unique_ptr<Origin>(std::move(origin));
}

std::string SftpOrigin::volume_key() const {
  const SshTarget& target = asker_->pool().target();
  return fmt::format("sftp://{}@{}:{}{} uid={} identity={}", target.user, target.host, target.port,
                     asker_->root(), ::geteuid(), target.identity);
}

Result<NodeInfo> SftpOrigin::stat(const std::string& path, Deadline deadline) {
  return asker_->stat(path, deadline);
}

Result<std::string> SftpOrigin::read_link(const std::string& path, Deadline deadline) {
  const std::string full = asker_->absolute(path);
  const Answer answer = TRY(asker_->ask(deadline, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kReadlink, id, full);
  }));
  TRY(expect(answer, PacketType::kName, "sftp.read_link"));
  const std::vector<NameEntry> names = TRY(decode_names(answer.reader()));
  if (names.size() != 1) return Error(EIO, "sftp.read_link");
  return std::string(names[0].name);
}

Result<FileSystemStats> SftpOrigin::stat_file_system(Deadline deadline) {
  const Ref<Connection> connection = TRY(asker_->pool().acquire(deadline));
  if (!connection->greeting().version.statvfs) return Error(EOPNOTSUPP, "sftp.statvfs");
  const Answer answer = TRY(asker_->ask(deadline, [&](Packet& out, uint32_t id) {
    append_extended(out, id, "statvfs@openssh.com", asker_->root());
  }));
  TRY(expect(answer, PacketType::kExtendedReply, "sftp.statvfs"));
  return decode_statvfs(answer.reader());
}

// What a listing brings.  Names are handed on when they are all there, so that a connection that is
// lost can begin anew; those of a large directory as they come, and after that begin no name twice.
class SftpOrigin::Names {
 public:
  explicit Names(const EntrySink& sink) : sink_(sink) {}

  void begin() { held_.clear(); }
  void add(OriginEntry entry) {
    if (given_.empty() || !given_.contains(entry.name)) held_.push_back(std::move(entry));
  }
  Result<void> came() {
    if (held_.size() < kHeldNames && given_.empty()) return {};
    for (const OriginEntry& entry : held_) given_.insert(entry.name);
    return give();
  }
  Result<void> give() {
    for (OriginEntry& entry : held_) {
      if (Result<void> taken = sink_(std::move(entry)); !taken.ok()) {
        refusal_ = std::move(taken);
        return Error(ECANCELED, "sftp.list");
      }
    }
    held_.clear();
    return {};
  }
  // What the sink said to that, if it did not want more.
  [[nodiscard]] const std::optional<Result<void>>& refusal() const { return refusal_; }

 private:
  const EntrySink& sink_;
  std::vector<OriginEntry> held_;
  std::unordered_set<std::string> given_;
  std::optional<Result<void>> refusal_;  // no error of the connection, whatever its number
};

Result<void> SftpOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  Names names(sink);
  const Result<void> listed = asker_->on_connection(deadline, [&](Connection& connection) {
    names.begin();
    return read_directory(connection, path, deadline, names);
  });
  const Result<void> given = listed.ok() ? names.give() : listed;
  return names.refusal().value_or(given);
}

Result<void> SftpOrigin::read_directory(Connection& connection, const std::string& path,
                                        Deadline deadline, Names& names) {
  const std::string full = asker_->absolute(path);
  Call call;
  TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kOpendir, id, full);
  }));
  const Answer answer = TRY(call.wait(deadline));
  if (Result<void> opened = expect(answer, PacketType::kHandle, "sftp.list"); !opened.ok()) {
    // To OpenSSH's server what is no directory is "no such file".
    const Result<NodeInfo> info = stat(path, deadline);
    if (info.ok() && info.value().attributes.type != FileType::kDirectory) {
      return Error(ENOTDIR, "sftp.list");
    }
    return for_path(std::move(opened).error(), path);
  }
  const std::string handle = TRY(decode_handle(answer.reader()));
  Result<void> read = read_entries(connection, handle, deadline, names);
  connection.submit_close(handle);
  return read;
}

// Asks ahead: two READDIRs at first, so that the names of a small directory and its end come in one
// round trip; where both bring names, twice as many each time, so that a large one does not take a
// round trip for each hundred.
Result<void> SftpOrigin::read_entries(Connection& connection, const std::string& handle,
                                      Deadline deadline, Names& names) {
  std::deque<Call> calls;
  size_t ahead = 2;
  bool small = true;  // as far as is known
  bool ended = false;
  for (;;) {
    if (ended && calls.empty()) return {};
    const bool ask = !ended && (calls.empty() || !small);
    while (ask && calls.size() < ahead) {
      Call call;
      TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
        append_handle_request(out, PacketType::kReaddir, id, handle);
      }));
      calls.push_back(std::move(call));
    }
    const Answer answer = TRY(calls.front().wait(deadline));
    calls.pop_front();
    // Of those that were asked together one may have found the end before another had its names.
    if (answer.type == PacketType::kStatus && TRY(answer.status()) == Status::kEof) {
      ended = true;
      continue;
    }
    TRY(expect(answer, PacketType::kName, "sftp.list"));
    const std::vector<NameEntry> entries = TRY(decode_names(answer.reader()));
    // A directory that goes on for ever without a name would never reach its deadline.
    if (entries.empty()) return Error(EIO, "sftp.list");
    for (const NameEntry& entry : entries) {
      if (entry.name == "." || entry.name == "..") continue;
      names.add({std::string(entry.name), entry.info});
    }
    TRY(names.came());
    if (deadline.passed(asker_->now())) return Error(ETIMEDOUT, "sftp.list");
    small = small && !calls.empty();
    if (!small) ahead = std::min(ahead * 2, kReaddirsMax);
  }
}

Result<std::unique_ptr<OriginFile>> SftpOrigin::open(const std::string& path, Deadline deadline) {
  return asker_->on_connection(
      deadline, [&](Connection& connection) { return open_file(connection, path, deadline); });
}

Result<std::unique_ptr<OriginFile>> SftpOrigin::open_file(Connection& connection,
                                                          const std::string& path,
                                                          Deadline deadline) {
  Ref<Handles> handles = make_ref<Handles>(asker_->absolute(path));
  // OPEN follows links and opens directories: what it is, is asked in the same breath.  Version 3
  // cannot say "do not follow", so a name that becomes a link between the two, or before a read
  // opens it on one more connection, opens the link's target.  Its bytes are not shown for that:
  // the FSTAT of that very handle, which follows every read (read_job.h), gives another validator.
  Call what;
  TRY(what.submit(connection, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kLstat, id, handles->path());
  }));
  Handles::make_room(connection);
  const auto ask_handle = [&]() -> Result<std::string> {
    Call call;
    TRY(call.submit(connection,
                    [&](Packet& out, uint32_t id) { append_open(out, id, handles->path()); }));
    const Answer answer = TRY(call.wait(deadline));
    TRY(expect(answer, PacketType::kHandle, "sftp.open"));
    return decode_handle(answer.reader());
  };
  Result<std::string> opened = ask_handle();
  if (opened.ok()) {
    handles->add(connection, opened.value());
  } else {
    connection.handles().refused();
    if (opened.is_error(ENOTCONN) || opened.is_error(ETIMEDOUT)) return std::move(opened).error();
  }
  // From here on the handle is closed on every way out.
  std::unique_ptr<OriginFile> file = std::make_unique<SftpFile>(asker_->pool(), std::move(handles));
  const Answer info = TRY(what.wait(deadline));
  if (info.type == PacketType::kAttrs) {
    const FileType type = TRY(info.reader().attributes()).attributes.type;
    if (type != FileType::kRegular && type != FileType::kUnknown) return not_regular(type);
  }
  if (!opened.ok()) return for_path(std::move(opened).error(), path);
  return file;
}

// Without the LSTAT of open_file(): what a link leads to, or a directory, shows by the FSTAT after
// the read, and by the read.
std::unique_ptr<OriginFile> SftpOrigin::open_by_read(const std::string& path) {
  return std::make_unique<SftpFile>(asker_->pool(), make_ref<Handles>(asker_->absolute(path)));
}

void SftpOrigin::issue_read(Subrequest& subrequest) {
  const Ref<Handles>& handles = static_cast<SftpFile&>(subrequest.file()).handles();
  Ref<ReadJob> job = make_ref<ReadJob>(subrequest);
  Ref<Connection> connection = asker_->pool().try_acquire(handles->serials());
  // None up: the library waits and tries again, within its own limits.
  if (!connection) return job->fail(Error(ENOTCONN, "sftp.read"));
  handles->start(std::move(connection), std::move(job));
}

StatusFields SftpOrigin::status() const {
  const Pool::State state = asker_->pool().state();
  StatusFields fields = {
      {"server", asker_->pool().target().name()},
      {"root", asker_->root()},
      {"connections", fmt::format("{} of {}", state.up, state.wanted)},
      {"round trip",
       fmt::format("{:.1f} ms",
                   std::chrono::duration<double, std::milli>(state.round_trip).count())},
      {"lost connections", std::to_string(state.lost)},
      {"open files", std::to_string(state.open_handles)},
  };
  if (!state.last_error.empty()) fields.emplace_back("error", state.last_error);
  return fields;
}

}  // namespace netfs::origins::sftp
