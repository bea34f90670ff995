#include "harness/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

namespace netfs::bench {

namespace {

constexpr const char* kUsage =
    "[--quick] [--only TEXT] [--pairs N] [--workdir DIR] [--json FILE] [--netfs PROGRAM] "
    "[--sftp SCRIPT] [--proxy PROGRAM] [--no-peers] [--no-netfs] [--count N]";

const option kLongOptions[] = {
    {"quick", no_argument, nullptr, 'q'},       {"only", required_argument, nullptr, 'o'},
    {"pairs", required_argument, nullptr, 'p'}, {"workdir", required_argument, nullptr, 'w'},
    {"json", required_argument, nullptr, 'j'},  {"netfs", required_argument, nullptr, 'n'},
    {"no-peers", no_argument, nullptr, 'P'},    {"no-netfs", no_argument, nullptr, 'N'},
    {"sftp", required_argument, nullptr, 's'},  {"count", required_argument, nullptr, 'c'},
    {"proxy", required_argument, nullptr, 'x'}, {nullptr, 0, nullptr, 0},
};

// The directory of the running program: netfs is built beside it.
std::string program_directory() {
  char path[4096];
  ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string whole(path, length > 0 ? static_cast<size_t>(length) : 0);
  return whole.substr(0, whole.rfind('/'));
}

}  // namespace

Result<Options> parse_options(int argc, char** argv) {
  Options options;
  options.netfs_program = program_directory() + "/netfs";
  options.proxy_program = program_directory() + "/delay_proxy";
  options.far_link_program = program_directory() + "/far_link";
  options.sftp_script = NETFS_SOURCE_DIR "/tests/servers/sftp.sh";
  options.http_script = NETFS_SOURCE_DIR "/tests/servers/http.sh";
  int letter;
  while ((letter = ::getopt_long(argc, argv, "", kLongOptions, nullptr)) != -1) {
    switch (letter) {
      case 'q':
        options.quick = true;
        break;
      case 'P':
        options.peers = false;
        break;
      case 'N':
        options.netfs = false;
        break;
      case 'o':
        options.only = optarg;
        break;
      case 'w':
        options.workdir = optarg;
        break;
      case 'j':
        options.json = optarg;
        break;
      case 'c':
        options.count = ::strtoull(optarg, nullptr, 10);
        break;
      case 'x':
        options.proxy_program = optarg;
        break;
      case 's':
        options.sftp_script = optarg;
        break;
      case 'n':
        options.netfs_program = optarg;
        break;
      case 'p':
        options.pairs = static_cast<unsigned>(::strtoul(optarg, nullptr, 10));
        break;
      default:
        return Error(EINVAL, "bench.options", std::string("usage: ") + argv[0] + " " + kUsage);
    }
  }
  if (optind < argc || options.pairs == 0) {
    return Error(EINVAL, "bench.options", std::string("usage: ") + argv[0] + " " + kUsage);
  }
  return options;
}

}  // namespace netfs::bench
