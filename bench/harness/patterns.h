#pragma once
// Patterns: the reads and writes that the rows time.  Each read checks one word of every block it
// got (EBADMSG).
//
// All run in forked jobs (jobs.h).  Random positions come from a fixed seed and the job's number,
// so that both sides of a pair read the same places.  No pattern drops or warms a cache.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "harness/content.h"
#include "harness/jobs.h"

namespace netfs::bench {

// The whole file in order; units: bytes.
Result<Work> read_sequential(const FileSpec& file, uint32_t block_bytes);

struct RandomReads {
  unsigned jobs = 1;
  uint64_t count = 0;  // per job
  uint32_t block_bytes = 4096;
  bool direct = false;       // O_DIRECT
  uint64_t limit_bytes = 0;  // only the file's first so many bytes; 0: all
  uint64_t salt = 0;         // other positions for another salt
  bool check = true;         // of the first word; a file without content has none
};
// units: reads.
Result<Work> read_random(const FileSpec& file, const RandomReads& how);

// Touches `count` random pages of a fresh mapping; units: pages.
Result<Work> touch_mapping(const FileSpec& file, uint64_t count);

// Latency of each of `count` random reads by one job, in seconds, in the order made.  No position
// is read twice; `salt` chooses them.
Result<std::vector<double>> random_latencies(const FileSpec& file, const RandomReads& how);

// open, read to the end, close of each file, shared out among the jobs; units: files.
Result<Work> read_files(const std::string& root, const std::vector<FileSpec>& files, unsigned jobs);

// The same by one job that lists each directory and reads its files in the order in which they are
// listed, as grep -r does, or only the first of each; units: files.
enum class Which { kAll, kFirstOfEach };
Result<Work> read_listed(const std::string& root, const std::vector<FileSpec>& files, Which which);

// Timed as well, when a job has written: until what it wrote is where it is to be.
using Ending = std::function<Result<void>()>;

// Writes a new file of these bytes in order, fsync and close; units: bytes.
Result<Work> write_sequential(const FileSpec& file, uint32_t block_bytes, const Ending& ending);

// Writes each file anew, in one go, and closes it; units: files.
Result<Work> write_files(const std::string& root, const std::vector<FileSpec>& files, unsigned jobs,
                         const Ending& ending);

// tar unpacks that many files, as for an ordinary user: they are his; units: files.
Result<Work> unpack(const std::string& archive, const std::string& root, uint64_t files,
                    const Ending& ending);

// fstatat of each file; units: files.
Result<Work> stat_files(const std::string& root, const std::vector<FileSpec>& files, unsigned jobs);

// find ROOT -ls, its output thrown away; units: names.
Result<Work> find_ls(const std::string& root, uint64_t names);

}  // namespace netfs::bench
