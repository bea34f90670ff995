#include "daemon/program_probe.h"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/json_fields.h"
#include "daemon/worker_process.h"
#include "origins/module_loader.h"

namespace netfs::daemon {

namespace {

constexpr int kLowest = 16;  // above what a worker finds at fixed numbers
constexpr size_t kSaidBytesMax = 64 << 10;

[[noreturn]] void child_main(const std::string& path, int output,
                             const std::vector<std::string>& schemes) {
  reset_signals();
  std::vector<std::string> words = {"netfs", "daemon", "--probe"};
  words.insert(words.end(), schemes.begin(), schemes.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDERR_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  ::execv(path.c_str(), arguments.data());
  ::_exit(kCannotExec);
}

std::string first_line(const std::string& text) {
  return text.substr(0, std::min(text.find('\n'), size_t{200}));
}

}  // namespace

Result<ProgramProbe> ProgramProbe::start(const std::string& path,
                                         const std::vector<std::string>& schemes) {
  const UniqueFd found(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!found) return Error(errno, "upgrade", strerror(errno));
  struct stat st {};
  if (::fstat(found.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return Error(EINVAL, "upgrade", "it is no program");
  }
  if (::access(path.c_str(), X_OK) != 0) return Error(EACCES, "upgrade", "it is not executable");
  UniqueFd program(::fcntl(found.get(), F_DUPFD_CLOEXEC, kLowest));
  if (!program) return Error::from_errno("upgrade.dup");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Error::from_errno("upgrade.pipe");
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork");
  if (pid == 0) child_main(path, theirs.get(), schemes);
  return ProgramProbe(std::move(program), std::move(ours), pid);
}

Result<Formats> ProgramProbe::ended(int wait_status) {
  std::string said(kSaidBytesMax, '\0');
  const ssize_t length = ::read(output_.get(), said.data(), said.size());
  said.resize(length < 0 ? 0 : static_cast<size_t>(length));
  if (WIFSIGNALED(wait_status)) {
    return Error(
        ENOEXEC, "upgrade",
        fmt::format("it was asked for its formats and crashed (signal {})", WTERMSIG(wait_status)));
  }
  const int code = WEXITSTATUS(wait_status);
  if (code == kCannotExec && said.empty()) {
    return Error(ENOEXEC, "upgrade", "it cannot be run: it is no program of this machine");
  }
  if (code != 0 && !said.empty()) return Error(ENOEXEC, "upgrade", first_line(said));
  Result<Formats> formats = decode_formats(said);
  if (code != 0 || !formats.ok()) {
    return Error(ENOEXEC, "upgrade", "it is no netfs, or one that knows nothing of upgrades");
  }
  return formats;
}

int probe_main(const std::vector<std::string>& schemes) {
  for (const std::string& scheme : schemes) {
    const auto module = origins::load_module(scheme, origins::default_module_directory());
    if (!module.ok()) {
      std::printf("%s\n", module.error().message().c_str());
      return 1;
    }
  }
  std::printf("%s", encode(our_formats()).c_str());
  return 0;
}

}  // namespace netfs::daemon
