// Any bytes may come over the control socket, and any words after -o: nothing but an Error follows.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daemon/config_file.h"
#include "daemon/control_message.h"
#include "daemon/mount_words.h"

namespace {

// What is decoded must survive its own encoding.
void check_request(std::string_view text) {
  const auto request = netfs::daemon::decode_request(text);
  if (!request.ok()) return;
  NETFS_ASSERT(netfs::daemon::decode_request(netfs::daemon::encode(request.value())).ok());
  (void)netfs::daemon::parse_options(request.value().options).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      check_request(text);
      break;
    case 1:
      (void)netfs::daemon::decode_response(text).ok();
      break;
    case 2:
      (void)netfs::daemon::decode_hello(text).ok();
      break;
    case 3:
      (void)netfs::daemon::parse_mount_words(text).ok();
      break;
    default:
      (void)netfs::daemon::parse_config(text, "fuzz").ok();
      break;
  }
  return 0;
}
