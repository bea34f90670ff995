// Any bytes are decoded without a fault, and what was decoded stays within them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/assert.h"
#include "fuse/wire.h"

namespace netfs::fuse {
namespace {

// Touches all that a body points to, for the sanitizer to see, and checks that it lies inside.
class Touch {
 public:
  explicit Touch(std::span<const std::byte> message) : message_(message) {}

  void text(std::string_view value) {
    NETFS_ASSERT(!value.empty());
    NETFS_ASSERT(value.size() <= kNameMax);
    bytes({reinterpret_cast<const std::byte*>(value.data()), value.size()});
  }
  void bytes(std::span<const std::byte> value) {
    if (value.empty()) return;
    NETFS_ASSERT(value.data() >= message_.data());
    NETFS_ASSERT(value.data() + value.size() <= message_.data() + message_.size());
    for (const std::byte b : value) sum_ = sum_ + static_cast<unsigned>(b);
  }

 private:
  std::span<const std::byte> message_;
  volatile unsigned sum_ = 0;
};

void touch(const Body& body, Touch touch) {
  if (const auto* lookup = std::get_if<LookupRequest>(&body)) touch.text(lookup->name);
  if (const auto* xattr = std::get_if<GetxattrRequest>(&body)) touch.text(xattr->name);
  if (const auto* ioctl = std::get_if<IoctlRequest>(&body)) touch.bytes(ioctl->input);
  if (const auto* modifying = std::get_if<ModifyingRequest>(&body)) touch.bytes(modifying->body);
  if (const auto* read = std::get_if<ReadRequest>(&body)) {
    NETFS_ASSERT(read->range.end_bytes() >= read->range.offset_bytes);
  }
  if (const auto* batch = std::get_if<BatchForgetRequest>(&body)) {
    touch.bytes({batch->entries, batch->count * sizeof(proto::ForgetOne)});
    for (uint32_t i = 0; i < batch->count; ++i) (void)batch->at(i);
  }
}

}  // namespace
}  // namespace netfs::fuse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace netfs::fuse;
  const std::span<const std::byte> message(reinterpret_cast<const std::byte*>(data), size);
  const netfs::Result<Request> request = decode_request(message);
  if (request.ok()) touch(request.value().body, Touch(message));
  NETFS_ASSERT(decode_header(message).ok() || !request.ok());
  NETFS_ASSERT(request.ok() || request.is_error(EPROTO) || request.is_error(EINVAL));
  return 0;
}
