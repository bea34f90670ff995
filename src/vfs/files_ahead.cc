#include "vfs/files_ahead.h"

#include <algorithm>

#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Directories of small ones whose order is made at once, to see whether all their files were read.
constexpr size_t kFewFiles = 8;
// Directories after the one that is read which are listed before he comes there.
constexpr size_t kListedOn = 4;

}  // namespace

bool FilesAhead::is_fresh(MonoTime seen) const {
  return options_.immutable || clock_.now() - seen < options_.metadata_ttl;
}

bool FilesAhead::is_listed(const Node& directory) const {
  return directory.directory->listing && !directory.doubted &&
         is_fresh(directory.directory->listed_at);
}

bool FilesAhead::watches(const Node& file) const {
  if (!wanted_) return false;
  if (!options_.immutable && options_.metadata_ttl < kRelistTtlMin) return false;
  if (file.parent == nullptr || !file.parent->directory) return false;
  const Directory& directory = *file.parent->directory;
  return directory.listing && directory.listing_took >= kAheadWorthIt &&
         directory.listing->entries.size() <= kAheadOrderMax;
}

Ref<Listing> FilesAhead::opened(InodeTable& table, fuse::NodeId id, Plan& plan) {
  expire();
  missing_ = nullptr;
  const Node* file = table.find(id);
  if (file == nullptr || !InodeTable::is_current(*file) || !watches(*file)) return nullptr;
  Node& directory = *file->parent;
  if (!plan.noted) {
    if (!note(table, *file, directory)) return std::exchange(missing_, nullptr);
    plan.noted = true;
  }
  Reader* reader = reader_of(table.id(directory));
  if (reader == nullptr || !reader->run.sure()) return nullptr;
  if (!fetch_on(table, *reader, plan)) return std::exchange(missing_, nullptr);
  return nullptr;
}

// ---- what is seen of readers

const FileOrder* FilesAhead::order_of(const Node& directory) {
  const Ref<Listing>& listing = directory.directory->listing;
  if (!listing->files) missing_ = listing;
  return listing->files.get();
}

FilesAhead::Reader* FilesAhead::reader_of(fuse::NodeId directory) {
  for (Reader& reader : readers_) {
    if (reader.directory == directory) return &reader;
  }
  return nullptr;
}

FilesAhead::Reader& FilesAhead::new_reader(fuse::NodeId directory) {
  if (readers_.size() < kAheadReadersMax) {
    readers_.emplace_back();
  } else {
    const auto oldest =
        std::min_element(readers_.begin(), readers_.end(),
                         [](const auto& a, const auto& b) { return a.used < b.used; });
    *oldest = {};
    std::swap(*oldest, readers_.back());
  }
  readers_.back().directory = directory;
  return readers_.back();
}

bool FilesAhead::note(InodeTable& table, const Node& file, Node& directory) {
  const fuse::NodeId id = table.id(directory);
  if (Reader* reader = reader_of(id)) {
    if (reader->last == file.name) return true;
    if (!note_here(*reader, file, directory)) return false;
    reader->last = file.name;
    reader->used = ++uses_;
    return true;
  }
  return note_there(table, file, directory);
}

// In the directory where he is.
bool FilesAhead::note_here(Reader& reader, const Node& file, const Node& directory) {
  const FileOrder* order = order_of(directory);
  if (order == nullptr) return false;
  const Listing& listing = *directory.directory->listing;
  const std::optional<FileOrder::Places> places = order->find(listing, file.name);
  if (!places) return true;
  if (reader.serial != listing.serial) {
    const std::optional<FileOrder::Places> last = order->find(listing, reader.last);
    const bool begins = reader.serial == 0 || !last;
    if (begins) {
      reader.run.begin(last ? *last : *places, order->count());
    } else {
      reader.run.move(*last, order->count());
    }
    reader.serial = listing.serial;
  }
  if (reader.run.is_off(clock_.now())) return true;
  const size_t before = reader.run.next();
  switch (reader.run.go(*places, clock_.now())) {
    case FileRun::Step::kOn:
      reader.ahead_count -= std::min(reader.ahead_count, reader.run.next() - before);
      break;
    case FileRun::Step::kBreak:
      reader.ahead_directory = {};
      break;
    case FileRun::Step::kNone:
      break;
  }
  return true;
}

// In another one: he has gone over to it from where he was, or is somebody else.
bool FilesAhead::note_there(InodeTable& table, const Node& file, Node& directory) {
  const fuse::NodeId id = table.id(directory);
  Reader* from = nullptr;
  bool next = false;  // the very next directory
  for (Reader& reader : readers_) {
    const Node* was = table.find(reader.directory);
    if (was == nullptr || was->parent != directory.parent || was->parent == nullptr) continue;
    if (!was->directory || !was->directory->listing) continue;
    if (reader.serial == 0) {
      // He opened one file there: all there are?
      if (was->directory->listing->entries.size() > kFewFiles) continue;
      const FileOrder* order = order_of(*was);
      if (order == nullptr) return false;
      const auto places = order->find(*was->directory->listing, reader.last);
      if (!places) continue;
      reader.run.begin(*places, order->count());
      reader.serial = was->directory->listing->serial;
    }
    if (!reader.run.at_end()) continue;
    const size_t gap = reader.run.sure() ? FileRun::kGap : 0;
    Node* at = next_directory(table, *was, reader.run.by());
    for (size_t left_out = 0; at != nullptr && at != &directory && left_out < gap; ++left_out) {
      at = next_directory(table, *at, reader.run.by());
    }
    if (at != &directory) continue;
    if (from != nullptr && from->used > reader.used) continue;
    from = &reader;
    next = at == next_directory(table, *was, reader.run.by());
  }
  if (from != nullptr) {
    const FileOrder* order = order_of(directory);
    if (order == nullptr) return false;
    const auto places = order->find(*directory.directory->listing, file.name);
    if (places && from->run.goes_over_to(*places)) {
      const fuse::NodeId was = from->directory;
      from->run.go_over(*places, order->count());
      from->directory = id;
      from->serial = directory.directory->listing->serial;
      from->last = file.name;
      from->used = ++uses_;
      from->looks_on = true;
      from->ahead_count -= std::min<size_t>(from->ahead_count, 1);
      if (!next || from->ahead_directory == was) from->ahead_directory = {};
      return true;
    }
  }
  Reader& reader = new_reader(id);
  reader.last = file.name;
  reader.used = ++uses_;
  return true;
}

Node* FilesAhead::next_directory(InodeTable& table, const Node& directory, OrderBy by) {
  const Node* above = directory.parent;
  if (above == nullptr || !above->directory->listing) return nullptr;
  const Listing& listing = *above->directory->listing;
  if (listing.directories.size() > kAheadDirectoriesMax) return nullptr;
  const Listing::Entry* next = nullptr;
  bool passed = false;
  for (const uint32_t at : listing.directories) {
    const Listing::Entry& entry = listing.entries[at];
    const std::string_view name = listing.name(entry);
    if (by == OrderBy::kListing) {
      // Hidden ones are what readers leave out.
      if (passed && !name.starts_with('.')) {
        next = &entry;
        break;
      }
      passed = passed || name == directory.name;
    } else if (name > directory.name && !name.starts_with('.') &&
               (next == nullptr || name < listing.name(*next))) {
      next = &entry;
    }
  }
  if (next == nullptr) return nullptr;
  Node* node = table.child(*directory.parent, listing.name(*next), next->node);
  return node != nullptr && node->directory ? node : nullptr;
}

// ---- what is fetched

uint64_t FilesAhead::bytes_max(const Library& library) {
  const uint64_t link = library.link_bytes();
  const uint64_t wanted =
      link == 0 ? kAheadUnknownBytes
                : std::clamp(kAheadLinkFactor * link, kAheadFirstBytes, kAheadFilesBytesMax);
  const uint64_t memory = library.memory_bytes();
  return memory > 0 ? std::min(wanted, memory / 4) : wanted;
}

bool FilesAhead::has_room(const Plan& plan) const {
  return claims_.size() < kAheadFilesMax && bytes_ < plan.bytes_max;
}

bool FilesAhead::is_fetchable(const Node& file) const {
  if (file.attributes.type != FileType::kRegular || file.attributes.size_bytes == 0) return false;
  if (file.doubted || file.unseen || file.is_written() || file.is_going()) return false;
  if (file.validator.strength == ValidatorStrength::kNone || !is_fresh(file.validated_at)) {
    return false;
  }
  // What is ready, or is being made so, somebody has opened; its file knows what it has.
  const OpenState* open = file.open.get();
  return open == nullptr || !(open->file || open->live || open->preparing || open->was_handed_out);
}

void FilesAhead::want(InodeTable& table, Node& directory, const Listing::Entry& entry, Plan& plan) {
  const std::string_view name = directory.directory->listing->name(entry);
  Node* node = table.child(directory, name, entry.node);
  if (node == nullptr || !is_fetchable(*node) || table.record(*node).opens > 0) return;
  const fuse::NodeId id = table.id(*node);
  const uint64_t size = node->attributes.size_bytes;
  const uint64_t whole = std::min(kAheadWholeBytesMax, plan.bytes_max);
  const uint64_t bytes = size <= whole ? size : std::min(size, kAheadFirstBytes);
  const MonoTime now = clock_.now();
  if (!claims_.emplace(id.value, Claim{.expected_bytes = bytes, .bytes = {}, .since = now})
           .second) {
    return;
  }
  bytes_ += bytes;
  by_age_.emplace_back(now, id.value);
  plan.files.push_back({id, bytes});
}

// From where he is as far as his window reaches.
bool FilesAhead::fetch_on(InodeTable& table, Reader& reader, Plan& plan) {
  FileRun& run = reader.run;
  if (reader.ahead_directory.value == 0) {
    reader.ahead_directory = reader.directory;
    reader.ahead_serial = reader.serial;
    reader.ahead_place = run.next();
    reader.ahead_count = 0;
  }
  // Where all is here already, one now and then shows whether that is still so.
  size_t window = run.window();
  if (vain_ >= kAheadVainMax) window = uses_ % kAheadVainStride == 0 ? 1 : 0;
  while (reader.ahead_count < window && has_room(plan)) {
    Node* directory = table.find(reader.ahead_directory);
    if (directory == nullptr || !InodeTable::is_current(*directory)) {
      reader.ahead_directory = {};  // it is gone: from where he is, next time
      return true;
    }
    if (!directory->directory || !is_listed(*directory)) break;
    const FileOrder* order = order_of(*directory);
    if (order == nullptr) return false;
    const Listing& listing = *directory->directory->listing;
    const bool here = reader.ahead_directory == reader.directory;
    if (reader.ahead_serial != listing.serial) {
      reader.ahead_serial = listing.serial;
      reader.ahead_place = here ? run.next() : 0;
    }
    if (here) {
      reader.ahead_place = std::max(reader.ahead_place, run.next());
      reader.ahead_count = reader.ahead_place - run.next();
    }
    if (reader.ahead_count >= window) break;
    if (reader.ahead_place < order->count()) {
      if (!here && reader.ahead_count >= run.window_beyond()) break;
      const uint32_t at = order->entry(run.by(), reader.ahead_place);
      want(table, *directory, listing.entries[at], plan);
      ++reader.ahead_place;
      ++reader.ahead_count;
      continue;
    }
    if (run.window_beyond() == 0) break;
    Node* next = next_directory(table, *directory, run.by());
    if (next == nullptr) break;
    if (!is_listed(*next) || next->directory->listing->entries.size() > kAheadOrderMax) {
      reader.looks_on = true;
      break;
    }
    reader.ahead_directory = table.id(*next);
    reader.ahead_serial = next->directory->listing->serial;
    reader.ahead_place = 0;
  }
  if (std::exchange(reader.looks_on, false)) list_on(table, reader, plan);
  return true;
}

// The directories that he comes to next are listed, so that their files are known.
void FilesAhead::list_on(InodeTable& table, const Reader& reader, Plan& plan) {
  if (reader.run.window_beyond() == 0) return;
  Node* directory = table.find(reader.ahead_directory);
  for (size_t i = 0; directory != nullptr && i < kListedOn; ++i) {
    directory = next_directory(table, *directory, reader.run.by());
    if (directory != nullptr && !is_listed(*directory)) {
      plan.directories.push_back(table.id(*directory));
    }
  }
}

// ---- what became of it

void FilesAhead::fetched(fuse::NodeId file, std::optional<uint64_t> bytes) {
  if (bytes == 0U) {
    ++vain_;
  } else if (bytes) {
    vain_ = 0;
  } else {
    // Another time, so it is planned anew.
    for (Reader& reader : readers_) reader.ahead_directory = {};
  }
  const auto found = claims_.find(file.value);
  if (bytes.value_or(0) > 0) {
    counters_.ahead_files.add();
    counters_.ahead_bytes.add(*bytes);
  }
  if (found == claims_.end()) {
    // It took longer than anybody waits.
    if (bytes.value_or(0) > 0) counters_.ahead_files_wasted.add();
    counters_.ahead_bytes_wasted.add(bytes.value_or(0));
    return;
  }
  Claim& claim = found->second;
  claim.bytes = bytes.value_or(0);
  if (claim.asked || *claim.bytes == 0) settle(file.value, claim.asked);
}

void FilesAhead::settle(uint64_t file, bool used) {
  const auto found = claims_.find(file);
  if (found == claims_.end()) return;
  Claim& claim = found->second;
  if (used && !claim.bytes) {
    claim.asked = true;
    return;
  }
  const uint64_t bytes = claim.bytes.value_or(0);
  if (used && bytes > 0) counters_.ahead_files_used.add();
  if (!used && bytes > 0) {
    counters_.ahead_files_wasted.add();
    counters_.ahead_bytes_wasted.add(bytes);
  }
  bytes_ -= claim.expected_bytes;
  claims_.erase(found);
}

void FilesAhead::expire() {
  const Duration patience = std::clamp(options_.metadata_ttl, kAheadPatience, kAheadPatienceMax);
  const MonoTime now = clock_.now();
  while (!by_age_.empty() && now - by_age_.front().first >= patience) {
    const auto found = claims_.find(by_age_.front().second);
    if (found != claims_.end() && found->second.since == by_age_.front().first) {
      settle(found->first, false);
    }
    by_age_.pop_front();
  }
}

}  // namespace netfs::vfs
