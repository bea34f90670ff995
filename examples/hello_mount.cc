// HelloOrigin mounted and served by a program of its own, with the library's cache, readahead and
// retry under it:
//
//   build/bin/hello_mount /mnt &
//   tail -1 /mnt/squares                        # 100 squared is 10000
//   umount /mnt                                 # ends the program

#include <cstdio>

#include "daemon/mount_here.h"
#include "examples/hello_origin.h"

int main(int argc, char** argv) {
  if (argc != 2) return 1;  // usage: hello_mount DIR
  hello::HelloOrigin origin;
  const auto mount =
      netfs::daemon::mount_here(origin, {.source = "hello:", .mount_point = argv[1]});
  if (!mount.ok()) {
    std::fprintf(stderr, "hello_mount: %s\n", mount.error().message().c_str());
    return 32;
  }
  mount.value()->wait(netfs::Deadline::never());
  return 0;
}
