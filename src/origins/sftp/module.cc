#include "origins/sftp/sftp_origin.h"

namespace {

const char* const kOptions[] = {
    "identity",    "private key file (else what ssh finds)",
    "known_hosts", "file of host keys (else the user's)",
    "connections", "how many SSH connections, 1 to 32 (else by the measured delay)",
    "ssh",         "program to run in place of ssh",
    nullptr,
};

}  // namespace

NETFS_ORIGIN_MODULE("sftp", "0.1.0", kOptions, &netfs::origins::sftp::SftpOrigin::open)
