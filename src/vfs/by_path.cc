#include "vfs/by_path.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace netfs::vfs {

FileSystem::ByPath::ByPath(FileSystem& of, std::vector<Named> named, Moves moves, fuse::Reply reply,
                           Made made)
    : of_(of),
      named_(std::move(named)),
      moves_(moves),
      pending_(of.pending_.add(std::move(reply), Interrupts::kIgnored)),
      made_(std::move(made)) {}

void FileSystem::ByPath::change(FileSystem& of, std::vector<Named> named, fuse::Reply reply,
                                Made made, Moves moves) {
  make_ref<ByPath>(of, std::move(named), moves, std::move(reply), std::move(made))->begin();
}

Settled FileSystem::ByPath::later(FileSystem& of, std::vector<Named> named, fuse::Reply reply,
                                  Made made) {
  return [self = make_ref<ByPath>(of, std::move(named), Moves::kNothing, std::move(reply),
                                  std::move(made))] { self->begin(); };
}

void FileSystem::ByPath::is_taken(FileSystem& of, const Place& place) {
  Graveyard graveyard;
  {
    sync::MutexLock lock(of.table_.mutex);
    Node* parent = of.table_.find(place.parent);
    const bool known = parent != nullptr && parent->directory && InodeTable::is_current(*parent);
    if (known) of.table_.is_taken(*parent, place.name, graveyard);
  }
  of.bury(std::move(graveyard));
}

void FileSystem::ByPath::begin() {
  until_ = of_.deadline();
  of_.on_worker([self = Ref<ByPath>(this)] { self->go_on({}); });
}

// Whoever asks again is answered by that, and what an earlier process noted of it counts no more.
void FileSystem::ByPath::refuse(int error) {
  pending_->error(error);
  of_.intents_.end(pending_->unique());
}

// The paths may have become others before they were held, or while it waited: once more, then.
void FileSystem::ByPath::go_on(std::optional<PathHolds::Number> held) {
  for (;;) {
    if (of_.stopping_ || until_.passed(of_.clock_.now())) {
      if (held) leave(*held);
      return refuse(of_.stopping_ ? ECONNABORTED : ETIMEDOUT);
    }
    Result<Places> now = find();
    const bool same = now.ok() && std::equal(places_.begin(), places_.end(), now.value().begin(),
                                             now.value().end(), [](const auto& a, const auto& b) {
                                               return a.path == b.path;
                                             });
    if (held && same && begin_openings()) break;
    if (held) leave(*held);
    if (held && same) {
      // What becomes of the name is known then.
      return of_.after_name_changes([self = Ref<ByPath>(this)] { self->go_on({}); });
    }
    if (!now.ok()) return refuse(now.code());
    places_ = std::move(now).value();
    PathHolds::Waiter waiter = [self = Ref<ByPath>(this)](PathHolds::Number number) {
      self->of_.on_worker([self, number] { self->go_on(number); });
    };
    held = of_.path_holds_.enter(paths(), waiter);
    if (!held) return;
  }
  // Whoever has the answer finds nothing of this in his way.
  pending_->before_answer([this, number = *held] { end(number); });
  {
    sync::ContextScope scope(pending_->context());
    made_(places_, *pending_, until_);
  }
  pending_->before_answer({});
  end(*held);
}

void FileSystem::ByPath::end(PathHolds::Number held) {
  if (std::exchange(ended_, true)) return;
  openings_.clear();
  leave(held);
}

bool FileSystem::ByPath::begin_openings() {
  if (of_.writer_->capabilities().files_outlive_names) return true;
  for (const Named& one : named_) {
    if (one.name) continue;
    openings_.push_back(Opening::begin(of_, one.node));
    if (openings_.back() != nullptr) continue;
    openings_.clear();
    return false;
  }
  return true;
}

Result<Places> FileSystem::ByPath::find() {
  Places places;
  for (const Named& one : named_) {
    if (one.name) {
      places.push_back(TRY(of_.place_of(one.node, *one.name)));
      continue;
    }
    Place place{.parent = one.node, .name = {}, .path = {}};
    sync::MutexLock lock(of_.table_.mutex);
    const Node* node = of_.table_.find(one.node);
    const bool has_path = node != nullptr && (InodeTable::is_current(*node) || node->hidden);
    if (has_path) place.path = InodeTable::path_of(*node);
    places.push_back(std::move(place));
  }
  return places;
}

PathHolds::Paths FileSystem::ByPath::paths() {
  PathHolds::Paths paths;
  for (const Place& place : places_) {
    if (!place.path.empty()) paths.names.push_back(place.path);
  }
  const bool moves = moves_ != Moves::kNothing &&
                     of_.scope_of_rename(places_[0], places_[1]) == ForgetScope::kTree;
  if (moves) paths.moving = paths.names;
  return paths;
}

void FileSystem::ByPath::leave(PathHolds::Number held) {
  for (PathHolds::Ready& next : of_.path_holds_.leave(held)) next.waiter(next.number);
}

}  // namespace netfs::vfs
