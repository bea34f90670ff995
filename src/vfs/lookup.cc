// LOOKUP: a name in a directory.

#include <cerrno>

#include "vfs/file_system.h"

namespace netfs::vfs {

fuse::Entry FileSystem::entry_of(Node& node) {
  table_.add_lookup(node);
  const Duration valid = validity_of(node);
  return {.node = table_.id(node),
          .generation = 0,  // nodeids are never used again
          .entry_valid = valid,
          .attr_valid = valid,
          .attr = attr_of(node)};
}

void FileSystem::lookup(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::LookupRequest>(request.body);
  counters_.lookups.add();
  fuse::Entry entry;
  int error = 0;
  bool absent = false;
  std::string path;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(request.header.node);
    if (parent == nullptr) {
      error = ESTALE;
    } else if (!parent->directory) {
      error = ENOTDIR;
    } else if (Node* node = table_.child(*parent, wanted.name);
               node != nullptr && is_fresh(*node)) {
      entry = entry_of(*node);
    } else if (node == nullptr) {
      const Directory& directory = *parent->directory;
      const auto known = directory.absent.find(wanted.name);
      absent =
          (known != directory.absent.end() && is_fresh(known->second, options_.negative_ttl)) ||
          (directory.listing && is_fresh(directory.listed_at, options_.negative_ttl));
    }
    if (error == 0 && !absent && entry.node.value == 0) {
      path = InodeTable::path_of(*parent);
      if (!path.empty()) path += '/';
      path += wanted.name;
    }
  }
  if (error != 0) return reply.error(error);
  if (absent) {
    counters_.negative_hits.add();
    const Duration valid = options_.immutable ? fuse::kForever : options_.negative_ttl;
    if (valid <= Duration(0)) return reply.error(ENOENT);
    return reply.value(fuse::negative_entry_out(valid));
  }
  if (entry.node.value != 0) {
    counters_.lookup_hits.add();
    return reply.value(fuse::entry_out(entry));
  }
  if (wanted.name.size() > 255) return reply.error(ENAMETOOLONG);
  const fuse::NodeId parent = request.header.node;
  std::string name(wanted.name);
  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_name(parent, name, std::move(path),
               [this, parent, name, pending](const Result<void>& seen) {
                 answer_entry(parent, name, seen, *pending);
               });
}

void FileSystem::answer_entry(fuse::NodeId parent_id, std::string_view name,
                              const Result<void>& seen, Pending& pending) {
  if (!seen.ok() && !seen.is_error(ENOENT)) return pending.error(seen.code());
  pending.answer([&](fuse::Reply& reply) {
    fuse::Entry entry;
    int error = 0;
    {
      sync::MutexLock lock(table_.mutex);
      Node* parent = table_.find(parent_id);
      Node* node = parent == nullptr ? nullptr : table_.child(*parent, name);
      if (parent == nullptr) {
        error = ESTALE;
      } else if (node != nullptr && seen.ok()) {
        entry = entry_of(*node);
      }
    }
    if (error != 0) return reply.error(error);
    if (entry.node.value != 0) return reply.value(fuse::entry_out(entry));
    const Duration valid = options_.immutable ? fuse::kForever : options_.negative_ttl;
    if (valid <= Duration(0)) return reply.error(ENOENT);
    reply.value(fuse::negative_entry_out(valid));
  });
}

}  // namespace netfs::vfs
