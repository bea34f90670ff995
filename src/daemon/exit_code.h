#pragma once
// ExitCode: what a netfs command ends with, as mount(8) defines it.

namespace netfs::daemon {

enum class ExitCode : int {
  kOk = 0,
  kUsage = 1,        // wrong invocation, or no permission
  kSystem = 2,       // out of memory, cannot fork, daemon gone
  kInternal = 4,     // a bug of ours
  kInterrupted = 8,  // by the user
  kMtab = 16,        // of mount(8); never used here
  kFailure = 32,     // mount or unmount failed
  kSomeFailed = 64,  // of several, some succeeded
};

}  // namespace netfs::daemon
