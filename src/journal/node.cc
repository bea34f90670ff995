#include "journal/node.h"

#include <algorithm>
#include <limits>

namespace netfs::journal {

namespace {

constexpr uint32_t kBlock = 512;

// Ours stand for the last change made here.
Validator own_validator(const NodeState& state, const std::string& mark) {
  Validator validator{ValidatorStrength::kWeak, mark, state.changed_at};
  for (int shift = 56; shift >= 0; shift -= 8) {
    validator.bytes.push_back(static_cast<char>(state.changed >> shift));
  }
  return validator;
}

}  // namespace

uint64_t NodeState::size_bytes() const {
  const uint64_t below = base ? base->attributes.size_bytes : 0;
  return std::max(size_set.value_or(below), size_least);
}

uint64_t Node::visible_bytes() const {
  uint64_t visible = std::numeric_limits<uint64_t>::max();
  for (const auto& [sequence, size] : cuts) visible = std::min(visible, size);
  return visible;
}

NodeInfo shown(const NodeState& state, const NodeInfo* origin, const std::string& mark) {
  const bool changing = state.pending > 0 || state.names_pending > 0;
  if (origin != nullptr && !changing) {
    NodeInfo info = *origin;
    const bool as_we_left_it = state.base && info.validator == state.base->validator &&
                               info.validator.strength != ValidatorStrength::kNone;
    if (as_we_left_it && state.changed != 0) info.validator = own_validator(state, mark);
    if (as_we_left_it && state.changed == 0 && state.shown_as) info.validator = *state.shown_as;
    return info;
  }
  NodeInfo info;
  if (state.base) info = *state.base;
  // Of a directory that is known by what changed of it.
  if (origin != nullptr && (!state.base || state.type == FileType::kDirectory)) info = *origin;
  Attributes& a = info.attributes;
  if (state.type != FileType::kUnknown) a.type = state.type;
  a.permissions = state.permissions.value_or(a.permissions);
  a.uid = state.uid.value_or(a.uid);
  a.gid = state.gid.value_or(a.gid);
  a.atime = state.atime.value_or(a.atime);
  if (a.type == FileType::kDirectory) {
    a.mtime = std::max(state.mtime.value_or(a.mtime),
                       state.names_pending > 0 ? state.names_at : Timestamp{});
  } else {
    a.mtime = state.mtime.value_or(a.mtime);
    const uint64_t size = state.size_bytes();
    if (a.type == FileType::kRegular && size != a.size_bytes) {
      a.size_bytes = size;
      a.allocated_bytes = round_up(size, kBlock);
    }
  }
  if (state.changed != 0) {
    a.ctime = std::max(a.ctime, state.changed_at);
    info.validator = own_validator(state, mark);
  } else if (state.shown_as) {
    info.validator = *state.shown_as;
  }
  return info;
}

}  // namespace netfs::journal
