#include "cli/mount_helper.h"

#include <unistd.h>

#include "cli/mount_command.h"

namespace netfs::cli {

bool is_mount_helper(std::string_view program) {
  const size_t slash = program.rfind('/');
  const std::string_view name =
      slash == std::string_view::npos ? program : program.substr(slash + 1);
  return name == "mount.netfs" || name == "mount.fuse.netfs";
}

ExitCode run_mount_helper(int argc, char** argv) {
  MountArguments arguments;
  bool fake = false;
  // GNU getopt finds options behind the two names, too, where mount(8) puts them.
  for (int option = 0; (option = ::getopt(argc, argv, "sfnvN:t:o:")) != -1;) {
    switch (option) {
      case 'o':
        arguments.words.emplace_back(::optarg);
        break;
      case 'f':
        fake = true;
        break;
      case 's':
      case 'n':
      case 'v':
      case 'N':
      case 't':
        break;
      default:
        return ExitCode::kUsage;
    }
  }
  if (argc - ::optind != 2) {
    return complain("mount", Error(EINVAL, "options", "usage: mount.netfs URL DIR [-o OPTIONS]"));
  }
  arguments.url = argv[::optind];
  arguments.mount_point = argv[::optind + 1];
  return fake ? ExitCode::kOk : run_mount(arguments);
}

}  // namespace netfs::cli
