// Whatever bytes a server sends as a packet's body, decoding ends and stays within them.

#include <cstddef>
#include <cstdint>

#include "origins/sftp/sftp_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = netfs::origins::sftp;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  (void)wire::decode_version(wire::Reader(bytes)).ok();
  (void)wire::decode_handle(wire::Reader(bytes)).ok();
  (void)wire::decode_status(wire::Reader(bytes)).ok();
  (void)wire::decode_statvfs(wire::Reader(bytes)).ok();
  const int why = wire::why_full(wire::Reader(bytes));
  NETFS_ASSERT(why == 0 || why == EROFS || why == ENOSPC);
  (void)wire::decode_limits(wire::Reader(bytes)).ok();
  (void)wire::Reader(bytes).attributes().ok();
  if (const auto names = wire::decode_names(wire::Reader(bytes)); names.ok()) {
    for (const wire::NameEntry& entry : names.value()) {
      NETFS_ASSERT(entry.name.size() <= size);
      NETFS_ASSERT(entry.info.attributes.size_bytes <= static_cast<uint64_t>(INT64_MAX));
    }
  }
  return 0;
}
