#include "harness/lab.h"

#include <cstdio>

#include "harness/mount_status.h"
#include "harness/report.h"

namespace netfs::bench {

int Lab::run(const std::string& name, int argc, char** argv,
             const std::function<Result<void>(Lab&)>& body) {
  Result<Options> options = parse_options(argc, argv);
  if (!options.ok()) {
    std::fprintf(stderr, "%s\n", options.error().message().c_str());
    return 2;
  }
  catch_signals();
  Result<Workdir> work = Workdir::create(options.value().workdir);
  if (!work.ok()) {
    std::fprintf(stderr, "bench_%s: %s\n", name.c_str(), work.error().message().c_str());
    return 1;
  }
  Lab lab(name, std::move(options).value(), std::move(work).value());
  Result<void> done = body(lab);
  Result<void> written = lab.write_results();
  int status = 0;
  for (const Result<void>* result : {&done, &written}) {
    if (result->ok()) continue;
    std::fprintf(stderr, "bench_%s: %s\n", name.c_str(), result->error().message().c_str());
    status = 1;
  }
  for (const RowResult& row : lab.rows_) {
    if (row.failed()) status = 1;
  }
  return status;
}

Result<SftpAccess> Lab::server() {
  if (!server_) server_.emplace(TRY(SftpServer::start(options_.sftp_script, work_)));
  return server_->access();
}

Result<FileSpec> Lab::make_source(const std::string& name, uint64_t size_bytes) {
  std::string directory = TRY(work_.directory("source"));
  FileSpec file{directory + "/" + name, 1, size_bytes};
  TRY(make_file(file));
  return file;
}

Result<FileSpec> Lab::make_native(const FileSpec& source) {
  std::string directory = TRY(work_.directory("native"));
  FileSpec file = source;
  file.path = directory + source.path.substr(source.path.rfind('/'));
  TRY(make_file(file));
  return file;
}

Result<Client> Lab::client(Peer peer, const std::string& remote_path, const std::string& cache,
                           const std::vector<std::string>& options, Use use) {
  return client_at(TRY(server()), peer, remote_path, cache, options, use);
}

Result<Client> Lab::client_at(const SftpAccess& access, Peer peer, const std::string& remote_path,
                              const std::string& cache, const std::vector<std::string>& options,
                              Use use) {
  std::string number = std::to_string(++mounts_);
  MountRequest request{.access = access,
                       .remote_path = remote_path,
                       .directory = work_.path("mount-" + number),
                       .cache = work_.path("cache-" + cache),
                       .log = work_.path("client-" + number + ".log"),
                       .options = options,
                       .use = use};
  switch (peer) {
    case Peer::kNetfs:
      return netfs_client(options_.netfs_program, request);
    case Peer::kSshfs:
      return sshfs_client(request);
    case Peer::kRclone:
      return rclone_client(request);
  }
  return Error(EINVAL, "bench.client");
}

Result<Mount> Lab::mount(const Client& client) const {
  constexpr size_t kDirectoryWord = 3;  // All three say: PROGRAM mount|-f URL DIRECTORY.
  Result<Mount> mounted = Mount::start(client.command, client.command.argv[kDirectoryWord]);
  if (mounted.ok()) return mounted;
  // The log goes with the work directory: what it says is wanted now.
  Error error = std::move(mounted).error();
  Result<std::string> log = read_text(client.command.log);
  std::string text = error.message();
  if (log.ok() && !log.value().empty()) text += ": " + log.value().substr(0, 400);
  return Error(error.code(), error.context(), text);
}

Result<void> Lab::await_sealed(const Mount& mount, const std::vector<FileSpec>& files) const {
  return bench::await_sealed({options_.netfs_program, mount.directory()}, files);
}

Result<void> Lab::await_connected(const Mount& mount) const {
  return bench::await_connected({options_.netfs_program, mount.directory()});
}

Result<void> Lab::await_stored(const Mount& mount) const {
  return bench::await_stored({options_.netfs_program, mount.directory()});
}

Result<void> Lab::await_uploaded(const Mount& mount) const {
  return bench::await_uploaded({options_.netfs_program, mount.directory()});
}

Result<nlohmann::json> Lab::status(const Mount& mount) const {
  return status_of({options_.netfs_program, mount.directory()});
}

void Lab::remove_cache(const std::string& cache) const {
  remove_tree(work_.path("cache-" + cache));
}

Result<void> Lab::write_results() {
  nlohmann::json rows = nlohmann::json::array();
  for (const RowResult& row : rows_) rows.push_back(to_json(row));
  nlohmann::json machine = to_json(describe_machine(work_.root()));
  std::printf("%s\n%s\n%s", markdown_machine(machine).c_str(), markdown_table(rows).c_str(),
              markdown_notes(rows).c_str());
  if (options_.json.empty()) return {};
  nlohmann::json whole{
      {"program", name_}, {"machine", machine}, {"quick", options_.quick}, {"rows", rows}};
  return write_text(options_.json, whole.dump(1) + "\n");
}

}  // namespace netfs::bench
