#include "vfs/saved_node.h"

#include <cstring>
#include <type_traits>

#include "vfs/bytes_arena.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Plain: the bytes begin with it.
struct Fixed {
  uint64_t node_id;
  uint64_t parent_id;
  uint64_t ino;
  uint64_t size_bytes;
  uint64_t device;
  int64_t mtime_seconds;
  int64_t ctime_seconds;
  int64_t changed_seconds;
  uint32_t mtime_nanoseconds;
  uint32_t ctime_nanoseconds;
  uint32_t changed_nanoseconds;
  uint32_t uid;
  uint32_t gid;
  uint32_t link_count;
  uint16_t permissions;
  uint16_t identity_bytes;
  uint8_t validator_bytes;
  uint8_t name_bytes;
  uint8_t type;
  uint8_t strength;
  uint8_t flags;
  uint8_t hiding_bytes;
  uint8_t unused[6];
};
static_assert(std::has_unique_object_representations_v<Fixed>, "no byte is left unset");
static_assert(sizeof(Fixed) + kValidatorBytesMax + kIdentityBytesMax + 2 * kNameBytesMax <=
              BytesArena::kBytesMax);

Error damaged() {
  return Error(EPROTO, "vfs.saved_node", "it is damaged");
}

}  // namespace

std::string encode(const SavedNode& node) {
  const Attributes& is = node.attributes;
  Fixed fixed{};
  fixed.node_id = node.node_id;
  fixed.parent_id = node.parent_id;
  fixed.ino = node.ino;
  fixed.size_bytes = is.size_bytes;
  fixed.device = is.device;
  fixed.mtime_seconds = is.mtime.seconds;
  fixed.mtime_nanoseconds = is.mtime.nanoseconds;
  fixed.ctime_seconds = is.ctime.seconds;
  fixed.ctime_nanoseconds = is.ctime.nanoseconds;
  fixed.changed_seconds = node.validator.changed_at.seconds;
  fixed.changed_nanoseconds = node.validator.changed_at.nanoseconds;
  fixed.uid = is.uid;
  fixed.gid = is.gid;
  fixed.link_count = is.link_count;
  fixed.permissions = static_cast<uint16_t>(is.permissions);
  fixed.identity_bytes = static_cast<uint16_t>(node.identity.size());
  fixed.validator_bytes = static_cast<uint8_t>(node.validator.bytes.size());
  fixed.name_bytes = static_cast<uint8_t>(node.name.size());
  fixed.hiding_bytes = static_cast<uint8_t>(node.hiding.size());
  fixed.type = static_cast<uint8_t>(is.type);
  fixed.strength = static_cast<uint8_t>(node.validator.strength);
  fixed.flags = node.flags;
  std::string bytes(reinterpret_cast<const char*>(&fixed), sizeof fixed);
  bytes += node.validator.bytes;
  bytes += node.identity;
  bytes += node.name;
  bytes += node.hiding;
  return bytes;
}

Result<SavedNode> decode_saved_node(std::string_view bytes) {
  Fixed fixed{};
  if (bytes.size() < sizeof fixed) return damaged();
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  bytes.remove_prefix(sizeof fixed);
  const size_t rest =
      size_t{fixed.validator_bytes} + fixed.identity_bytes + fixed.name_bytes + fixed.hiding_bytes;
  if (bytes.size() != rest) return damaged();
  if (fixed.type > static_cast<uint8_t>(FileType::kBlockDevice)) return damaged();
  if (fixed.strength > static_cast<uint8_t>(ValidatorStrength::kStrong)) return damaged();
  SavedNode node{.node_id = fixed.node_id,
                 .parent_id = fixed.parent_id,
                 .ino = fixed.ino,
                 .flags = fixed.flags};
  node.attributes.type = static_cast<FileType>(fixed.type);
  node.attributes.permissions = fixed.permissions;
  node.attributes.uid = fixed.uid;
  node.attributes.gid = fixed.gid;
  node.attributes.link_count = fixed.link_count;
  node.attributes.size_bytes = fixed.size_bytes;
  node.attributes.device = fixed.device;
  node.attributes.mtime = {fixed.mtime_seconds, fixed.mtime_nanoseconds};
  node.attributes.ctime = {fixed.ctime_seconds, fixed.ctime_nanoseconds};
  node.validator.strength = static_cast<ValidatorStrength>(fixed.strength);
  node.validator.changed_at = {fixed.changed_seconds, fixed.changed_nanoseconds};
  node.validator.bytes = bytes.substr(0, fixed.validator_bytes);
  bytes.remove_prefix(fixed.validator_bytes);
  node.identity = bytes.substr(0, fixed.identity_bytes);
  bytes.remove_prefix(fixed.identity_bytes);
  node.name = bytes.substr(0, fixed.name_bytes);
  node.hiding = bytes.substr(fixed.name_bytes);
  return node;
}

std::string encode(const SavedPosition& position) {
  static_assert(sizeof position.offset + SavedPosition::kNamesMax * (kNameBytesMax + 1) <=
                BytesArena::kBytesMax);
  std::string bytes(reinterpret_cast<const char*>(&position.offset), sizeof position.offset);
  for (const std::string& name : position.names) {
    bytes += static_cast<char>(name.size());
    bytes += name;
  }
  return bytes;
}

Result<SavedPosition> decode_saved_position(std::string_view bytes) {
  SavedPosition position;
  if (bytes.size() < sizeof position.offset) return damaged();
  std::memcpy(&position.offset, bytes.data(), sizeof position.offset);
  bytes.remove_prefix(sizeof position.offset);
  while (!bytes.empty()) {
    const size_t length = static_cast<unsigned char>(bytes[0]);
    if (bytes.size() < 1 + length) return damaged();
    position.names.emplace_back(bytes.substr(1, length));
    bytes.remove_prefix(1 + length);
  }
  return position;
}

}  // namespace netfs::vfs
