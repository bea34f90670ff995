// Whatever the text, parsing ends, and what it accepts holds no NUL and no option for ssh.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "origins/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto result = netfs::origins::Url::parse(text);
  if (result.ok()) {
    const netfs::origins::Url& url = result.value();
    NETFS_ASSERT(url.path.find('\0') == std::string::npos);
    NETFS_ASSERT(url.host.empty() || url.host[0] != '-');
    NETFS_ASSERT(url.user.empty() || url.user[0] != '-');
    NETFS_ASSERT(url.text == text);
  }
  return 0;
}
