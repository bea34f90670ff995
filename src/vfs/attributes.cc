// GETATTR and STATX; and what attributes look like to the kernel.

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>

#include "netfs/file_mode.h"
#include "vfs/file_system.h"

namespace netfs::vfs {

fuse::Attr FileSystem::attr_of(const Node& node) {
  const Attributes& a = node.attributes;
  fuse::Attr attr;
  attr.ino = table_.record(node).ino;
  attr.size_bytes = node.size_shown_bytes();
  attr.blocks_512 = ((a.allocated_bytes != 0 ? a.allocated_bytes : a.size_bytes) + 511) / 512;
  attr.atime = a.atime;
  attr.mtime = a.mtime;
  attr.ctime = a.ctime;
  // Links show 0777 everywhere; taking bits from them would only confuse.
  const uint32_t taken = a.type == FileType::kSymlink ? 0 : options_.umask.value_or(0);
  const uint32_t type = a.type == FileType::kUnknown ? S_IFREG : type_bits_of(a.type);
  attr.mode = type | (a.permissions & ~taken & 07777);
  attr.link_count = a.link_count;
  attr.uid = options_.uid.value_or(a.uid);
  attr.gid = options_.gid.value_or(a.gid);
  attr.rdev = static_cast<uint32_t>(a.device);
  return attr;
}

bool FileSystem::is_fresh(MonoTime seen, Duration ttl) const {
  return options_.immutable || clock_.now() - seen < ttl;
}

// Two names of a regular file are one node; of a link or a device they are two, for what a link may
// lead to depends on where it stands.  What is done to one of them then shows at the other only
// when the origin is asked.
bool FileSystem::has_other_nodes(const Node& node) const {
  const FileType type = node.attributes.type;
  return writer_ != nullptr && type != FileType::kRegular && type != FileType::kDirectory;
}

// With `--revalidate=behind` or `--on-error=stale`: for how much longer a name is shown, by itself
// or with its directory, however old.  That is no look at it: an open does not believe it.
Duration FileSystem::shown_for(const Node& node) const {
  const bool shows_old = options_.revalidate_behind || options_.on_error == OnError::kStale;
  if (!shows_old || !InodeTable::is_current(node)) return Duration(0);
  const bool has_directory = node.parent != nullptr;
  const MonoTime with_others = has_directory ? node.parent->directory->shown_until : MonoTime();
  return std::max(node.shown_until(), with_others) - clock_.now();
}

bool FileSystem::is_fresh(const Node& node) const {
  if (has_other_nodes(node) && node.attributes.link_count > 1) return false;
  if (node.doubted) return false;
  return is_fresh(node.validated_at, options_.metadata_ttl) || shown_for(node) > Duration(0);
}

// For how long the kernel may believe what it is told of a node: what is left of the TTL.
Duration FileSystem::validity_of(const Node& node) const {
  // A version that was replaced never changes again.
  if (options_.immutable || !InodeTable::is_current(node)) return fuse::kForever;
  if (node.is_dirty() || node.unseen) return Duration(0);  // its times are not the origin's
  if (node.size_shown_bytes() != node.attributes.size_bytes) return Duration(0);
  const Duration left = options_.metadata_ttl - (clock_.now() - node.validated_at);
  return std::max({left, shown_for(node), Duration(0)});
}

namespace {

template <class Out>
Out encode(const fuse::Attr& attr, Duration valid);
template <>
fuse::proto::AttrOut encode(const fuse::Attr& attr, Duration valid) {
  return fuse::attr_out(attr, valid);
}
template <>
fuse::proto::StatxOut encode(const fuse::Attr& attr, Duration valid) {
  return fuse::statx_out(attr, valid, nullptr);
}

template <class Out>
void send(fuse::Reply& reply, int error, const Out& out) {
  if (error != 0) {
    reply.error(error);
  } else {
    reply.value(out);
  }
}

}  // namespace

// What memory says; false when the origin must be asked first.  `believe`: it was.
template <class Out>
bool FileSystem::know_attributes(fuse::NodeId id, bool believe, Out& out, int& error) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr) {
    error = ESTALE;
    return true;
  }
  if (!InodeTable::is_current(*node)) {
    // An old version is shown to those who have it open; to anybody else ESTALE makes the kernel
    // look the name up again.
    if (table_.record(*node).opens == 0) {
      error = ESTALE;
      return true;
    }
  } else if (!believe && !is_fresh(*node)) {
    return false;
  }
  out = encode<Out>(attr_of(*node), has_other_nodes(*node) ? Duration(0) : validity_of(*node));
  return true;
}

// Out is AttrOut or StatxOut.
template <class Out>
void FileSystem::attributes(const fuse::Request& request, fuse::Reply reply) {
  const fuse::NodeId id = request.header.node;
  Out known{};
  int error = 0;
  if (know_attributes(id, /*believe=*/false, known, error)) return send(reply, error, known);

  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_node(id, Look::kCheapest, [this, id, pending](const Result<void>& seen) {
    Out out{};
    int code = 0;
    // Gone or replaced: it is not current any more, and who has it open still may see it.
    const bool gone = seen.is_error(ENOENT) || seen.is_error(ESTALE);
    if (seen.ok() || gone) {
      know_attributes(id, /*believe=*/true, out, code);
    } else {
      code = seen.code();
    }
    pending->answer([&](fuse::Reply& to) { send(to, code, out); });
  });
}

void FileSystem::get_attributes(const fuse::Request& request, fuse::Reply reply) {
  attributes<fuse::proto::AttrOut>(request, std::move(reply));
}

void FileSystem::get_statx(const fuse::Request& request, fuse::Reply reply) {
  attributes<fuse::proto::StatxOut>(request, std::move(reply));
}

}  // namespace netfs::vfs
