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

void touch_change(const Body& body, Touch& touch) {
  const auto name = [&touch](std::string_view text) {
    touch.text(text);
    NETFS_ASSERT(text.find('/') == std::string_view::npos);
  };
  if (const auto* made = std::get_if<MknodRequest>(&body)) name(made->name);
  if (const auto* made = std::get_if<MkdirRequest>(&body)) name(made->name);
  if (const auto* removed = std::get_if<RemoveRequest>(&body)) name(removed->name);
  if (const auto* linked = std::get_if<LinkRequest>(&body)) name(linked->name);
  if (const auto* created = std::get_if<CreateRequest>(&body)) name(created->name);
  if (const auto* moved = std::get_if<RenameRequest>(&body)) {
    name(moved->name);
    name(moved->new_name);
  }
  if (const auto* linked = std::get_if<SymlinkRequest>(&body)) {
    name(linked->name);
    NETFS_ASSERT(!linked->target.empty() && linked->target.size() <= kTargetMax);
    touch.bytes(std::as_bytes(std::span(linked->target.data(), linked->target.size())));
  }
  if (const auto* written = std::get_if<WriteRequest>(&body)) {
    touch.bytes(written->data);
    NETFS_ASSERT(written->offset + written->data.size() <= static_cast<uint64_t>(INT64_MAX));
  }
  if (const auto* set = std::get_if<SetxattrRequest>(&body)) {
    touch.text(set->name);
    touch.bytes(set->value);
  }
  if (const auto* removed = std::get_if<RemovexattrRequest>(&body)) touch.text(removed->name);
  if (const auto* allocated = std::get_if<FallocateRequest>(&body)) {
    NETFS_ASSERT(allocated->range.end_bytes() >= allocated->range.offset_bytes);
  }
}

void touch(const Body& body, Touch touch) {
  if (const auto* lookup = std::get_if<LookupRequest>(&body)) touch.text(lookup->name);
  if (const auto* xattr = std::get_if<GetxattrRequest>(&body)) touch.text(xattr->name);
  if (const auto* ioctl = std::get_if<IoctlRequest>(&body)) touch.bytes(ioctl->input);
  touch_change(body, touch);
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
