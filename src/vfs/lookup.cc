// LOOKUP: a name in a directory, or the node that a handle names.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

fuse::Entry FileSystem::entry_of(Node& node) {
  table_.add_lookup(node);
  const Duration valid = validity_of(node);
  return {.node = table_.id(node),
          .generation = 0,  // nodeids are never used again
          .entry_valid = valid,
          .attr_valid = has_other_nodes(node) ? Duration(0) : valid,
          .attr = attr_of(node)};
}

namespace {

// Of more names it is not worth the time.
constexpr size_t kNamesCompared = 256;

// Whether the directory has a name that an origin which does not tell upper case from lower would
// take for this one: programs find out what an origin does by asking for one in the other case.
bool has_name_like(const Directory& directory, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto is_like = [&](const Node* child) {
    return std::equal(child->name.begin(), child->name.end(), name.begin(), name.end(),
                      [&](char a, char b) { return lower(a) == lower(b); });
  };
  return directory.children.size() <= kNamesCompared &&
         std::any_of(directory.children.begin(), directory.children.end(), is_like);
}

}  // namespace

// For how long no such name is known to be, as far as memory goes; 0: that is not known.  It was
// asked for, or a whole listing does not have it, or nobody has made it in a directory that we have
// made.
Duration FileSystem::absent_for(const Node& directory, std::string_view name) const {
  const Directory& known = *directory.directory;
  const auto left = [&](MonoTime since) {
    if (options_.immutable) return fuse::kForever;
    return std::max(options_.negative_ttl - (clock_.now() - since), Duration(0));
  };
  // What we make in it ourselves stands among its children, and makes this no older.
  const bool whole = known.whole_since && *known.whole_since > unsure_at_.load();
  if (whole && left(*known.whole_since) > Duration(0) && !has_name_like(known, name)) {
    return left(*known.whole_since);
  }
  if (directory.doubted) return Duration(0);
  const auto absent = known.absent.find(name);
  if (absent != known.absent.end() && left(absent->second) > Duration(0)) {
    return left(absent->second);
  }
  if (!known.listing || !known.listing->tells_all()) return Duration(0);
  return left(known.listed_at);
}

void FileSystem::answer_absent(Duration valid, fuse::Reply& reply) const {
  if (valid <= Duration(0)) return reply.error(ENOENT);
  reply.value(fuse::negative_entry_out(valid));
}

void FileSystem::lookup(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::LookupRequest>(request.body);
  counters_.lookups.add();
  if (wanted.name.size() > kNameBytesMax) return reply.error(ENAMETOOLONG);
  // Who opens a file by a handle (open_by_handle_at, an NFS server) names its node itself.
  const bool by_handle = wanted.name == "." || wanted.name == "..";
  fuse::Entry entry;
  int error = 0;
  Duration absent{};
  Name name{.parent = request.header.node, .name = {}, .path = {}};
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(request.header.node);
    Node* node = parent == nullptr ? nullptr : table_.child(*parent, wanted.name);
    if (parent == nullptr || !InodeTable::is_current(*parent)) {
      error = ESTALE;
    } else if (by_handle) {
      const bool above = wanted.name == ".." && parent->parent != nullptr;
      entry = entry_of(above ? *parent->parent : *parent);
    } else if (!parent->directory) {
      error = ENOTDIR;
    } else if (node != nullptr && is_fresh(*node)) {
      entry = entry_of(*node);
    } else {
      if (node == nullptr) absent = absent_for(*parent, wanted.name);
      name.path = InodeTable::path_of(*parent);
      if (!name.path.empty()) name.path += '/';
      name.path += wanted.name;
    }
  }
  if (error != 0) return reply.error(error);
  if (absent > Duration(0)) {
    counters_.negative_hits.add();
    return answer_absent(absent, reply);
  }
  if (entry.node.value != 0) {
    counters_.lookup_hits.add();
    return reply.value(fuse::entry_out(entry));
  }
  name.name = wanted.name;
  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_cheaply(name, [this, parent = name.parent, wanted_name = name.name,
                         pending](const Result<void>& seen) {
    if (!seen.ok() && !seen.is_error(ENOENT)) return pending->error(seen.code());
    pending->answer([&](fuse::Reply& to) { answer_entry(parent, wanted_name, seen, to); });
  });
}

// After a look at the origin: found, or ENOENT.
void FileSystem::answer_entry(fuse::NodeId parent_id, std::string_view name,
                              const Result<void>& seen, fuse::Reply& reply) {
  if (!seen.ok()) {
    return answer_absent(options_.immutable ? fuse::kForever : options_.negative_ttl, reply);
  }
  fuse::Entry entry;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(parent_id);
    Node* node = parent == nullptr ? nullptr : table_.child(*parent, name);
    if (node != nullptr) entry = entry_of(*node);
  }
  // Gone again in between: the kernel asks once more.
  if (entry.node.value == 0) return reply.error(ESTALE);
  reply.value(fuse::entry_out(entry));
}

}  // namespace netfs::vfs
