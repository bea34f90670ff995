#include "origins/sftp/sftp_origin.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "origins/sftp/read_job.h"
#include "origins/sftp/sftp_file.h"

namespace netfs::origins::sftp {

namespace {

constexpr unsigned kConnectionsMax = 32;
// READDIRs under way on one handle: the server works on them in order, so they are one walk.
constexpr size_t kReaddirsMax = 16;

bool connection_was_lost(const Error& error) {
  switch (error.code()) {
    case ENOTCONN:
    case ECONNRESET:
    case EPIPE:
      return true;
    default:
      return false;
  }
}

// The answer must be of this type; a STATUS is its error.
Result<void> expect(const Answer& answer, PacketType type, const char* context) {
  if (answer.type == type) return {};
  if (answer.type != PacketType::kStatus) return Error(EPROTO, context);
  const Status status = TRY(answer.status());
  const int code = errno_of(status);
  return Error(code != 0 ? code : EPROTO, context);
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

template <class Encode>
Result<SftpOrigin::Told> SftpOrigin::ask(Deadline deadline, Encode encode) {
  for (;;) {
    Ref<Connection> connection = TRY(pool_->acquire(deadline));
    Call call;
    Result<void> asked = call.submit(*connection, encode);
    if (asked.ok()) {
      Result<Answer> answer = call.wait(deadline);
      if (answer.ok()) return Told{std::move(connection), std::move(answer).value()};
      if (!connection_was_lost(answer.error())) return std::move(answer).error();
    }
    if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "sftp.ask");
  }
}

Result<std::unique_ptr<Origin>> SftpOrigin::open(const OriginRequest& request) {
  PoolOptions options = TRY(pool_options(request));
  const std::string name = options.target.name();
  std::unique_ptr<Pool> pool = TRY(Pool::create(std::move(options), *request.clock));
  const Deadline deadline = Deadline::after(*request.clock, request.timeout);
  // The path of the short form is relative to the login's home: the server knows where that is.
  std::unique_ptr<SftpOrigin> probe(new SftpOrigin(std::move(pool), ""));
  const std::string wanted = request.url.path.empty() ? "." : request.url.path;
  const Told told = TRY(probe->ask(deadline, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kRealpath, id, wanted);
  }));
  const auto no_such = [&](const Error& error) {
    return Error(error.code(), "sftp.open",
                 fmt::format("{}: {} on the server: {}", name, wanted, strerror(error.code())));
  };
  if (Result<void> is_name = expect(told.answer, PacketType::kName, "sftp.realpath");
      !is_name.ok()) {
    return no_such(is_name.error());
  }
  const std::vector<NameEntry> names = TRY(decode_names(told.answer.reader()));
  if (names.size() != 1 || names[0].name.empty() || names[0].name[0] != '/') {
    return Error(EPROTO, "sftp.realpath", name + ": the server does not resolve the path");
  }
  std::unique_ptr<SftpOrigin> origin(
      new SftpOrigin(std::move(probe->pool_), std::string(names[0].name)));
  const Result<NodeInfo> root = origin->stat("", deadline);
  if (!root.ok()) return no_such(root.error());
  if (root.value().attributes.type != FileType::kDirectory) return no_such(Error(ENOTDIR, "sftp"));
  return std::unique_ptr<Origin>(std::move(origin));
}

std::string SftpOrigin::absolute(const std::string& path) const {
  if (path.empty()) return root_;
  return root_ == "/" ? root_ + path : root_ + "/" + path;
}

std::string SftpOrigin::volume_key() const {
  const SshTarget& target = pool_->target();
  return fmt::format("sftp://{}@{}:{}{} uid={} identity={}", target.user, target.host, target.port,
                     root_, ::geteuid(), target.identity);
}

Result<NodeInfo> SftpOrigin::stat(const std::string& path, Deadline deadline) {
  // The root may be a link at the server, anything below is shown as what it is.
  const PacketType type = path.empty() ? PacketType::kStat : PacketType::kLstat;
  const std::string full = absolute(path);
  const Told told = TRY(
      ask(deadline, [&](Packet& out, uint32_t id) { append_path_request(out, type, id, full); }));
  TRY(expect(told.answer, PacketType::kAttrs, "sftp.stat"));
  return told.answer.reader().attributes();
}

Result<std::string> SftpOrigin::read_link(const std::string& path, Deadline deadline) {
  const std::string full = absolute(path);
  const Told told = TRY(ask(deadline, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kReadlink, id, full);
  }));
  TRY(expect(told.answer, PacketType::kName, "sftp.read_link"));
  const std::vector<NameEntry> names = TRY(decode_names(told.answer.reader()));
  if (names.size() != 1) return Error(EPROTO, "sftp.read_link");
  return std::string(names[0].name);
}

Result<FileSystemStats> SftpOrigin::stat_file_system(Deadline deadline) {
  const Ref<Connection> connection = TRY(pool_->acquire(deadline));
  if (!connection->version().statvfs) return Error(EOPNOTSUPP, "sftp.statvfs");
  const Told told = TRY(ask(deadline, [&](Packet& out, uint32_t id) {
    append_extended(out, id, "statvfs@openssh.com", root_);
  }));
  TRY(expect(told.answer, PacketType::kExtendedReply, "sftp.statvfs"));
  return decode_statvfs(told.answer.reader());
}

Result<void> SftpOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  const std::string full = absolute(path);
  const Told told = TRY(ask(deadline, [&](Packet& out, uint32_t id) {
    append_path_request(out, PacketType::kOpendir, id, full);
  }));
  TRY(expect(told.answer, PacketType::kHandle, "sftp.list"));
  const std::string handle = TRY(decode_handle(told.answer.reader()));
  Result<void> listed = list_handle(*told.connection, handle, deadline, sink);
  told.connection->submit_close(handle);
  return listed;
}

// Asks ahead: one READDIR at first, twice as many each time, so a small directory costs no more
// than it must and a large one no round trip a hundred names.
Result<void> SftpOrigin::list_handle(Connection& connection, const std::string& handle,
                                     Deadline deadline, const EntrySink& sink) {
  std::deque<Call> calls;
  size_t ahead = 1;
  bool more = true;
  while (more || !calls.empty()) {
    while (more && calls.size() < ahead) {
      Call call;
      TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
        append_handle_request(out, PacketType::kReaddir, id, handle);
      }));
      calls.push_back(std::move(call));
    }
    const Answer answer = TRY(calls.front().wait(deadline));
    calls.pop_front();
    if (answer.type == PacketType::kStatus && TRY(answer.status()) == Status::kEof) {
      more = false;
      continue;
    }
    TRY(expect(answer, PacketType::kName, "sftp.list"));
    for (NameEntry& entry : TRY(decode_names(answer.reader()))) {
      if (entry.name == "." || entry.name == "..") continue;
      TRY(sink({std::string(entry.name), std::move(entry.info)}));
    }
    ahead = std::min(ahead * 2, kReaddirsMax);
  }
  return {};
}

Result<std::unique_ptr<OriginFile>> SftpOrigin::open(const std::string& path, Deadline deadline) {
  Ref<Handles> handles = make_ref<Handles>(absolute(path));
  const Told told =
      TRY(ask(deadline, [&](Packet& out, uint32_t id) { append_open(out, id, handles->path()); }));
  TRY(expect(told.answer, PacketType::kHandle, "sftp.open"));
  handles->add(told.connection->serial(), TRY(decode_handle(told.answer.reader())));
  return std::unique_ptr<OriginFile>(std::make_unique<SftpFile>(*pool_, std::move(handles)));
}

void SftpOrigin::issue_read(Subrequest& subrequest) {
  const Ref<Handles>& handles = static_cast<SftpFile&>(subrequest.file()).handles();
  Ref<ReadJob> job = make_ref<ReadJob>(subrequest);
  Ref<Connection> connection = pool_->try_acquire(handles->serials());
  // None up: the library waits and tries again, within its own limits.
  if (!connection) return job->fail(Error(ENOTCONN, "sftp.read"));
  handles->start(std::move(connection), std::move(job));
}

StatusFields SftpOrigin::status() const {
  const Pool::State state = pool_->state();
  StatusFields fields = {
      {"server", pool_->target().name()},
      {"root", root_},
      {"connections", fmt::format("{} of {}", state.up, state.wanted)},
      {"round trip",
       fmt::format("{:.1f} ms",
                   std::chrono::duration<double, std::milli>(state.round_trip).count())},
      {"reconnects", std::to_string(state.reconnects)},
  };
  if (!state.last_error.empty()) fields.emplace_back("error", state.last_error);
  return fields;
}

}  // namespace netfs::origins::sftp
