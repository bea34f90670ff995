#include "harness/clients.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netfs::bench {

namespace {

// What ssh needs to reach the server, as -o words.
std::vector<std::string> ssh_words(const SftpAccess& access) {
  return {"IdentityFile=" + access.key_file, "UserKnownHostsFile=" + access.known_hosts_file,
          "IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes"};
}

// sshfs(1): several connections, the kernel's cache kept over opens, names cached for the run.
constexpr const char* kSshfsOptions =
    "max_conns=4,kernel_cache,dcache_timeout=3600,dcache_max_size=200000,"
    "entry_timeout=3600,attr_timeout=3600";

// rclone's manual: full mode for a disk cache; the largest chunk that OpenSSH takes; a large
// read-ahead in the file; names and attributes cached for the run.
const std::vector<std::string> kRcloneOptions = {
    "--vfs-cache-mode=full",  "--vfs-read-ahead=128M", "--buffer-size=64M",
    "--sftp-chunk-size=255k", "--sftp-concurrency=64", "--max-read-ahead=1M",
    "--dir-cache-time=1h",    "--attr-timeout=1h",     "--sftp-disable-hashcheck",
    "--vfs-fast-fingerprint", "--no-checksum"};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Runs `sftp -b -` far enough to be connected: its prompt for the first command is echoed.
Result<void> await_text(int fd, const std::string& text) {
  constexpr int kTimeoutMs = 30'000;
  std::string seen;
  char buffer[512];
  pollfd entry{.fd = fd, .events = POLLIN};
  while (seen.find(text) == std::string::npos) {
    if (::poll(&entry, 1, kTimeoutMs) <= 0) return Error(ETIMEDOUT, "bench.sftp_get");
    ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got <= 0) return Error(EIO, "bench.sftp_get", "sftp ended before it was connected");
    seen.append(buffer, static_cast<size_t>(got));
  }
  return {};
}

Result<uint64_t> sftp_job(const std::vector<std::string>& argv, const std::string& command,
                          uint64_t size_bytes, Gate& gate) {
  int input[2];
  int output[2];
  if (::pipe2(input, O_CLOEXEC) != 0 || ::pipe2(output, O_CLOEXEC) != 0) {
    return Error::from_errno("bench.pipe");
  }
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("bench.fork");
  if (pid == 0) {
    ::dup2(input[0], 0);
    ::dup2(output[1], 1);
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  UniqueFd to_sftp(input[1]);
  UniqueFd from_sftp(output[0]);
  ::close(input[0]);
  ::close(output[1]);
  const char first[] = "pwd\n";
  if (::write(to_sftp.get(), first, sizeof first - 1) < 0) return Error::from_errno("bench.sftp");
  TRY(await_text(from_sftp.get(), "working directory"));
  gate.wait();
  if (::write(to_sftp.get(), command.data(), command.size()) < 0) {
    return Error::from_errno("bench.sftp");
  }
  to_sftp.reset();
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) return Error(EIO, "bench.sftp", "sftp failed: " + command.substr(0, 4));
  return size_bytes;
}

std::string netfs_use(Use use) {
  switch (use) {
    case Use::kReading:
      break;
    case Use::kWriting:
      return "--write=close";
    case Use::kBack:
      return "--write=back";
  }
  return "--read-only";
}

// One command in a session that stands before the clock starts.
Result<Work> sftp_session(const SftpAccess& access, const std::string& command,
                          uint64_t size_bytes) {
  std::vector<std::string> argv{
      "sftp", "-q", "-R", "64", "-B", "261120", "-P", std::to_string(access.port), "-b", "-"};
  for (const std::string& word : ssh_words(access)) {
    argv.emplace_back("-o");
    argv.push_back(word);
  }
  argv.push_back(access.user + "@" + access.host);
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    return sftp_job(argv, command + "\nbye\n", size_bytes, gate);
  });
}

}  // namespace

Client netfs_client(const std::string& program, const MountRequest& request) {
  std::vector<std::string> argv{
      program,
      "mount",
      request.access.url(request.remote_path),
      request.directory,
      "--foreground",
      netfs_use(request.use),
      "--cache-dir",
      request.cache,
      "-o",
      "identity=" + request.access.key_file + ",known_hosts=" + request.access.known_hosts_file};
  argv.insert(argv.end(), request.options.begin(), request.options.end());
  return {.name = "netfs",
          .how = "netfs mount sftp://... " + netfs_use(request.use) + " --cache-dir ... " +
                 joined(request.options),
          .command = {.argv = std::move(argv), .log = request.log}};
}

Client sshfs_client(const MountRequest& request) {
  std::vector<std::string> argv{
      "sshfs",
      "-f",
      request.access.user + "@" + request.access.host + ":" + request.remote_path,
      request.directory,
      "-p",
      std::to_string(request.access.port),
      "-o",
      (request.use == Use::kReading ? std::string("ro,") : std::string()) + kSshfsOptions};
  for (const std::string& word : ssh_words(request.access)) {
    argv.emplace_back("-o");
    argv.push_back(word);
  }
  return {.name = "sshfs",
          .how = line_of({"sshfs", "--version"}, "SSHFS") + ", -o " + kSshfsOptions,
          .command = {.argv = std::move(argv), .log = request.log}};
}

Client rclone_client(const MountRequest& request) {
  const SftpAccess& access = request.access;
  std::vector<std::string> argv{"rclone",
                                "mount",
                                ":sftp:" + request.remote_path,
                                request.directory,
                                "--config=/dev/null",
                                "--cache-dir=" + request.cache,
                                "--sftp-host=" + access.host,
                                "--sftp-port=" + std::to_string(access.port),
                                "--sftp-user=" + access.user,
                                "--sftp-key-file=" + access.key_file,
                                "--sftp-known-hosts-file=" + access.known_hosts_file};
  argv.insert(argv.end(), kRcloneOptions.begin(), kRcloneOptions.end());
  // At once after the close, not five seconds later.
  argv.emplace_back(request.use == Use::kReading ? "--read-only" : "--vfs-write-back=0s");
  return {.name = "rclone",
          .how = line_of({"rclone", "version"}, "rclone") + " mount " + joined(kRcloneOptions) +
                 (request.use == Use::kReading ? "" : " --vfs-write-back=0s"),
          .command = {.argv = std::move(argv), .log = request.log}};
}

Result<Work> sftp_get(const SftpAccess& access, const std::string& remote_path,
                      const std::string& local_path, uint64_t size_bytes) {
  return sftp_session(access, "get " + remote_path + " " + local_path, size_bytes);
}

std::string sftp_get_how() {
  return "sftp -R 64 -B 261120 -b -, connected before the clock starts";
}

Result<Work> sftp_put(const SftpAccess& access, const std::string& local_path,
                      const std::string& remote_path, uint64_t size_bytes) {
  return sftp_session(access, "put " + local_path + " " + remote_path, size_bytes);
}

std::string sftp_put_how() {
  return sftp_get_how();
}

}  // namespace netfs::bench
