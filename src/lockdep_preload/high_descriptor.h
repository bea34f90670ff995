#pragma once
// high_descriptor: a descriptor of ours out of the way of the program's, which counts on the
// numbers that it gets next.  May change errno.

namespace netfs::lockdep_preload {

// The same open file as `fd`, which stays as it is, closed by exec: under `wish` or a higher number
// that is free, and where the limit of open files is lower under the highest that there may be.
// -1: there is no such, or the limit is so low that the program will need all.
int high_descriptor(int fd, int wish);

}  // namespace netfs::lockdep_preload
