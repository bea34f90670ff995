// The writes that the rows time.

#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "harness/patterns.h"

namespace netfs::bench {

namespace {

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n <= 0) return Error::from_errno("bench.write");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<UniqueFd> create_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return Error::from_errno("bench.create");
  return fd;
}

// Close says the last of what went wrong.
Result<void> close_file(UniqueFd fd) {
  if (::close(fd.release()) != 0) return Error::from_errno("bench.close");
  return {};
}

}  // namespace

Result<Work> write_sequential(const FileSpec& file, uint32_t block_bytes, const Ending& ending) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    // The same block again and again: nobody on the way compresses or compares.
    std::vector<std::byte> block(block_bytes);
    fill_content(block, file.seed, 0);
    gate.wait();
    UniqueFd fd = TRY(create_file(file.path));
    for (uint64_t at = 0; at < file.size_bytes; at += block_bytes) {
      const uint64_t length = std::min<uint64_t>(block_bytes, file.size_bytes - at);
      TRY(write_all(fd.get(), std::span(block).first(length)));
    }
    if (::fsync(fd.get()) != 0) return Error::from_errno("bench.fsync");
    TRY(close_file(std::move(fd)));
    TRY(ending());
    return file.size_bytes;
  });
}

Result<Work> write_files(const std::string& root, const std::vector<FileSpec>& files, unsigned jobs,
                         const Ending& ending) {
  return run_jobs(jobs, [&](unsigned job, Gate& gate) -> Result<uint64_t> {
    uint64_t largest = 0;
    for (const FileSpec& file : files) largest = std::max(largest, file.size_bytes);
    std::vector<std::byte> bytes(largest);
    fill_content(bytes, job, 0);
    gate.wait();
    uint64_t done = 0;
    for (size_t i = job; i < files.size(); i += jobs, ++done) {
      UniqueFd fd = TRY(create_file(root + "/" + files[i].path));
      TRY(write_all(fd.get(), std::span(bytes).first(files[i].size_bytes)));
      TRY(close_file(std::move(fd)));
    }
    TRY(ending());
    return done;
  });
}

Result<Work> unpack(const std::string& archive, const std::string& root, uint64_t files,
                    const Ending& ending) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    gate.wait();
    const std::string command =
        "exec tar --no-same-owner --no-same-permissions -xf " + archive + " -C " + root;
    if (std::system(command.c_str()) != 0) return Error(EIO, "bench.tar", "tar failed in " + root);
    TRY(ending());
    return files;
  });
}

}  // namespace netfs::bench
