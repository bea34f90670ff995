// Looks at the origin: stat of a name, list of a directory; equal looks under way are joined.

#include <cerrno>

#include "telemetry/log.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// The origin did not say anything: nobody knows whether what we know still holds.
bool is_unreachable(int code) {
  switch (code) {
    case ENOTCONN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EPIPE:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool FileSystem::should_wait(const Result<void>& outcome) const {
  return options_.on_error == OnError::kWait && !outcome.ok() && is_unreachable(outcome.code()) &&
         !stopping_;
}

void FileSystem::refresh_name(fuse::NodeId parent, std::string name, std::string path, Then then) {
  if (!stats_flights_.join(path, std::move(then))) {
    counters_.coalesced.add();
    return;
  }
  on_worker([this, parent, name = std::move(name), path = std::move(path)] {
    stat_now(parent, name, path);
  });
}

void FileSystem::refresh_node(fuse::NodeId id, Then then) {
  fuse::NodeId parent = id;  // of the root: itself, with no name
  std::string name;
  std::string path;
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Node* node = table_.find(id)) {
      known = true;
      if (node->parent != nullptr) {
        parent = table_.id(*node->parent);
        name = node->name;
        path = InodeTable::path_of(*node);
      }
    }
  }
  if (!known) return then(Error(ESTALE, "vfs.refresh"));
  refresh_name(parent, std::move(name), std::move(path), std::move(then));
}

void FileSystem::stat_now(fuse::NodeId parent, const std::string& name, const std::string& path) {
  Result<void> outcome = Error(ECANCELED, "vfs.stat");
  if (!stopping_) {
    counters_.revalidations.add();
    outcome = take_stat(parent, name, origin_.stat(path, deadline()));
  }
  if (should_wait(outcome)) {
    const bool later = metadata_.post_at(
        clock_.now() + kWaitPause, [this, parent, name, path] { stat_now(parent, name, path); });
    if (later) return;
  }
  for (Then& then : stats_flights_.land(path)) then(outcome);
}

Result<void> FileSystem::take_stat(fuse::NodeId parent_id, const std::string& name,
                                   Result<NodeInfo> info) {
  if (!info.ok() && !info.is_error(ENOENT) && !info.is_error(ENOTDIR)) {
    counters_.origin_errors.add();
    if (is_unreachable(info.code()) && serve_stale(parent_id, name)) return {};
    return std::move(info).error();
  }
  Graveyard graveyard;
  Result<void> outcome;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(parent_id);
    const MonoTime now = clock_.now();
    if (parent == nullptr) {
      outcome = Error(ESTALE, "vfs.stat");
    } else if (name.empty()) {
      if (info.ok()) {
        table_.confirm(*parent, std::move(info).value(), now, graveyard);
      } else {
        outcome = std::move(info).error();
      }
    } else if (!parent->directory) {
      outcome = Error(ENOTDIR, "vfs.stat");
    } else if (info.ok()) {
      table_.adopt(*parent, name, std::move(info).value(), now, graveyard);
    } else {
      table_.set_absent(*parent, name, now, graveyard);
      outcome = Error(ENOENT, "vfs.stat");
    }
  }
  bury(std::move(graveyard));
  return outcome;
}

// Under the policy `stale`: what is known counts as seen for a little while.
bool FileSystem::serve_stale(fuse::NodeId parent_id, const std::string& name) {
  if (options_.on_error != OnError::kStale) return false;
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(parent_id);
  if (node != nullptr && !name.empty()) node = table_.child(*node, name);
  if (node == nullptr) return false;
  counters_.served_stale.add();
  node->validated_at = clock_.now() - options_.metadata_ttl + kStaleGrace;
  return true;
}

void FileSystem::refresh_listing(fuse::NodeId id, Then then) {
  std::string path;
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Node* node = table_.find(id); node != nullptr && node->directory) {
      known = true;
      path = InodeTable::path_of(*node);
    }
  }
  if (!known) return then(Error(ESTALE, "vfs.list"));
  if (!list_flights_.join(std::to_string(id.value), std::move(then))) {
    counters_.coalesced.add();
    return;
  }
  on_worker([this, id, path = std::move(path)] { list_now(id, path); });
}

void FileSystem::list_now(fuse::NodeId id, const std::string& path) {
  Result<void> outcome = Error(ECANCELED, "vfs.list");
  if (!stopping_) {
    counters_.listings.add();
    outcome = take_listing(id, path);
  }
  if (!outcome.ok() && is_unreachable(outcome.code())) {
    counters_.origin_errors.add();
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (options_.on_error == OnError::kStale && node != nullptr && node->directory &&
        node->directory->listing) {
      node->directory->listed_at = clock_.now() - options_.metadata_ttl + kStaleGrace;
      counters_.served_stale.add();
      outcome = {};
    }
  }
  if (should_wait(outcome)) {
    const bool later =
        metadata_.post_at(clock_.now() + kWaitPause, [this, id, path] { list_now(id, path); });
    if (later) return;
  }
  for (Then& then : list_flights_.land(std::to_string(id.value))) then(outcome);
}

namespace {

void append(Listing& listing, const Node& node, uint64_t ino, fuse::NodeId id) {
  listing.entries.push_back({.name_offset = static_cast<uint32_t>(listing.names.size()),
                             .name_bytes = static_cast<uint16_t>(node.name.size()),
                             .type = node.attributes.type,
                             .ino = ino,
                             .node = id});
  listing.names += node.name;
}

}  // namespace

Result<void> FileSystem::take_listing(fuse::NodeId id, const std::string& path) {
  const MonoTime began = clock_.now();
  Ref<Listing> listing = make_ref<Listing>();
  listing->serial = next_listing_.fetch_add(1);
  std::vector<OriginEntry> batch;
  Graveyard graveyard;
  const auto take_batch = [&]() -> Result<void> {
    sync::MutexLock lock(table_.mutex);
    Node* directory = table_.find(id);
    if (directory == nullptr || !directory->directory) return Error(ESTALE, "vfs.list");
    for (OriginEntry& entry : batch) {
      Node& node =
          table_.adopt(*directory, entry.name, std::move(entry.info), clock_.now(), graveyard);
      if (node.seen_in == listing->serial) continue;  // named twice
      node.seen_in = listing->serial;
      append(*listing, node, table_.record(node).ino, table_.id(node));
    }
    batch.clear();
    return {};
  };
  TRY(origin_.list(path, deadline(), [&](OriginEntry entry) -> Result<void> {
    if (!name_is_allowed(path, entry.name)) return {};
    batch.push_back(std::move(entry));
    if (batch.size() < kListingBatch) return {};
    return take_batch();
  }));
  TRY(take_batch());
  {
    sync::MutexLock lock(table_.mutex);
    Node* directory = table_.find(id);
    if (directory == nullptr || !directory->directory) return Error(ESTALE, "vfs.list");
    std::vector<std::string> gone;
    for (const Node* child : directory->directory->children) {
      // A name looked up while we listed may be newer than the listing.
      if (child->seen_in != listing->serial && child->validated_at < began) {
        gone.push_back(child->name);
      }
    }
    for (const std::string& name : gone) {
      table_.set_absent(*directory, name, clock_.now(), graveyard);
    }
    std::swap(directory->directory->listing, listing);
    directory->directory->listed_at = began;
    table_.sweep(graveyard);
  }
  bury(std::move(graveyard));
  return {};
}

}  // namespace netfs::vfs
