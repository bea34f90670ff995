// What is asked of the origin, and whether its answer still stands.

#include <utility>

#include "journal/journal.h"

namespace netfs::journal {

namespace {

RecentLooks::Saw seen_by(const Result<NodeInfo>& raw) {
  if (raw.is_error(ENOENT)) return RecentLooks::Saw::kNothing;
  if (!raw.ok()) return RecentLooks::Saw::kUnknown;
  const bool is_directory = raw.value().attributes.type == FileType::kDirectory;
  return is_directory ? RecentLooks::Saw::kDirectory : RecentLooks::Saw::kUnknown;
}

}  // namespace

Journal::Glance Journal::glance_locked(Node& node) {
  return {.node = node.id,
          .state = node.state,
          .origin_path = overlay_.path_there(node),
          .moves = moves_};
}

Result<Journal::Glance> Journal::find_locked(const std::string& path) {
  const Overlay::Found found = overlay_.find(path);
  switch (found.leads) {
    case Overlay::Leads::kNowhere:
      return Error(ENOENT, "journal");
    case Overlay::Leads::kThroughNothing:
      return Error(ENOTDIR, "journal");
    case Overlay::Leads::kToNode:
      return glance_locked(*found.node);
    case Overlay::Leads::kToOrigin:
      break;
  }
  Glance glance;
  glance.origin_path = found.origin_path;
  glance.all_is_known = found.all_is_known;
  glance.moves = moves_;
  return glance;
}

Result<Journal::Glance> Journal::glance(const std::string& path) {
  sync::MutexLock lock(mutex_);
  return find_locked(path);
}

Result<Journal::Glance> Journal::glance(NodeId node) {
  sync::MutexLock lock(mutex_);
  Node* found = overlay_.node(node);
  if (found == nullptr) return Error(ESTALE, "journal");
  return glance_locked(*found);
}

Result<Journal::Stands> Journal::stands(const std::string& path, NodeId node, const Glance& before,
                                        int answer, Deadline deadline, Asked what) {
  sync::MutexLock lock(mutex_);
  // Names were moving there while it was asked for one that was not there.
  const bool missed = answer == ENOENT || answer == ENOTDIR || answer == ESTALE;
  // Or another file may have the name of what was asked for.
  const bool doubted = before.node != NodeId::kNone && before.node == doubted_;
  if (doubted || (missed && (moves_ != before.moves || moves_ % 2 != 0))) {
    const uint64_t moves = moves_;
    while (moves_ == moves && moves_ % 2 != 0) {
      if (stopping_) return Error(ENOTCONN, "journal");
      if (!changed_.wait_until(mutex_, deadline.at)) return Error(ETIMEDOUT, "journal");
    }
    return Stands::kNo;
  }
  const bool same = what == Asked::kNames ? has_same_names_locked(path, before)
                                          : is_same_locked(path, node, before);
  return same ? Stands::kYes : Stands::kNo;
}

// But for those that were made since: who makes many must not keep it from being listed.
bool Journal::has_same_names_locked(const std::string& path, const Glance& before) {
  const Result<Glance> now = find_locked(path);
  return now.ok() && (before.node == NodeId::kNone || now.value().node == before.node) &&
         now.value().origin_path == before.origin_path &&
         now.value().state.names_lost == before.state.names_lost;
}

bool Journal::is_same_locked(const std::string& path, NodeId node, const Glance& before) {
  Node* found = node == NodeId::kNone ? nullptr : overlay_.node(node);
  const Result<Glance> now =
      found != nullptr ? Result<Glance>(glance_locked(*found)) : find_locked(path);
  return now.ok() && now.value().node == before.node &&
         now.value().origin_path == before.origin_path &&
         now.value().state.changed == before.state.changed &&
         now.value().state.pending == before.state.pending;
}

NodeInfo Journal::show(const Glance& glance, const NodeInfo* raw) const {
  NodeInfo info =
      glance.node == NodeId::kNone && raw != nullptr ? *raw : shown(glance.state, raw, mark_);
  info.identity.clear();
  return info;
}

Result<Journal::Looked> Journal::look(const std::string& path, Deadline deadline) {
  return look(path, NodeId::kNone, deadline);
}

Result<Journal::Looked> Journal::look(NodeId node, Deadline deadline) {
  return look("", node, deadline);
}

// What the origin shows at a glance's path; none: it has to be looked at anew.
Result<std::optional<NodeInfo>> Journal::ask(const std::string& path, NodeId node,
                                             const Glance& before, Deadline deadline) {
  const bool by_name = node == NodeId::kNone;
  const MonoTime began = Clock::system().now();
  if (by_name) {
    sync::MutexLock lock(mutex_);
    recent_.begin(path);
  }
  Result<NodeInfo> raw = inner().stat(*before.origin_path, deadline);
  const Result<Stands> stand = stands(path, node, before, raw.code(), deadline);
  const bool counts = stand.ok() && stand.value() == Stands::kYes;
  if (by_name) {
    sync::MutexLock lock(mutex_);
    recent_.end(path, counts ? seen_by(raw) : RecentLooks::Saw::kUnknown, began);
  }
  if (!stand.ok()) return stand.error();
  if (!counts) return std::optional<NodeInfo>();
  return std::optional<NodeInfo>(TRY(std::move(raw)));
}

Result<Journal::Looked> Journal::look(const std::string& path, NodeId node, Deadline deadline) {
  for (;;) {
    Looked looked;
    looked.glance = TRY(node == NodeId::kNone ? glance(path) : glance(node));
    const bool asks = looked.glance.origin_path &&
                      (looked.glance.node == NodeId::kNone || looked.glance.state.asks_origin());
    if (asks) {
      looked.raw = TRY(ask(path, node, looked.glance, deadline));
      if (!looked.raw) continue;
    }
    looked.info = show(looked.glance, looked.raw ? &*looked.raw : nullptr);
    return looked;
  }
}

void Journal::made_past(const std::string& path) {
  sync::MutexLock lock(mutex_);
  recent_.changed(path);
}

RecentLooks::Saw Journal::saw_lately(const std::string& path) {
  sync::MutexLock lock(mutex_);
  return recent_.saw(path, Clock::system().now());
}

}  // namespace netfs::journal
