#include "origins/sftp/sftp_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "OpenSSH, and other servers of version 3",
    .versions = "weak: mtime in seconds, size",
    .identity = "the path",
    .changes = "names, bytes, modes, times",
    .locks = "here only",
};

const char* const kOptions[] = {
    "identity",    "private key file (else what ssh finds)",
    "known_hosts", "file of host keys (else the user's)",
    "connections", "how many SSH connections, 1 to 32 (else by the measured delay)",
    "ssh",         "program to run in place of ssh",
    nullptr,
};

}  // namespace

NETFS_ORIGIN_MODULE("sftp", "0.1.0", kTraits, kOptions, &netfs::origins::sftp::SftpOrigin::open)
