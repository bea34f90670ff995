#pragma once
// Overlay: what is pending, as a tree in memory.  Where a path leads, what is shown of it, which
// bytes are in the journal; and how that changes when something is done here, and when it has been
// done at the origin.
//
// Two trees over the same nodes.  The tree of users (Node::here) is ahead; the origin's
// (Node::there) follows, one change after the other.  A path is looked up in the first; where it
// leaves what is known, the rest is asked of the origin, below the place where the second has the
// last directory that was known.  So a directory that was moved here is found under its old path
// until the move is done there, and under its new one from then on.
//
// A node stays as long as it has changes pending, or is open; then a number of them is remembered
// by what the origin showed after the last change, so that what we did is not taken for the doing
// of somebody else.
//
// Pure: no I/O, no clock.  Not thread-safe.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "journal/journal_format.h"
#include "journal/limits.h"
#include "journal/node.h"
#include "journal/segment.h"

namespace netfs::journal {

// A change that is in the journal and not yet at the origin.
struct Change {
  uint64_t sequence = 0;
  RecordKind kind = RecordKind::kWrite;
  NodeId node = NodeId::kNone;    // what changes
  Position at;                    // of names: what it has, or gets
  Position from;                  // kRename: what it had,
  Position aside;                 // and what `victim` gets; none: that goes
  NodeId victim = NodeId::kNone;  // kRename: whose name it takes
  bool cuts = false;              // it sets the size,
  bool empties = false;           // to nothing
  RecordPlace place;
};

// How changes of one node went at the origin.
struct Went {
  bool failed = false;            // they were not done, and never will be
  std::string beside;             // it has this name there, not the one it was to have
  std::optional<NodeInfo> after;  // what the origin shows of it since
  std::optional<Validator> left;  // its validator, if it is ours
  // The same of what a rename has replaced and that lives on; none: it does not.
  std::optional<NodeInfo> aside;
  std::optional<Validator> left_aside;
};

class Overlay {
 public:
  explicit Overlay(size_t remembered_max = kRememberedMax);

  enum class Leads : uint8_t {
    kToNode,
    kToOrigin,        // nothing is known of it: ask for `origin_path`
    kNowhere,         // ENOENT
    kThroughNothing,  // ENOTDIR: something on the way is no directory
  };
  struct Found {
    Leads leads = Leads::kNowhere;
    Node* node = nullptr;
    std::string origin_path;
    // The directory in which the way ended was made here, and all that is in it is known.
    bool all_is_known = false;
  };
  [[nodiscard]] Found find(std::string_view path);
  [[nodiscard]] Node* node(NodeId id);

  // What a rename that is not done yet replaces has its other name there, perhaps besides.
  void lives_aside(const Change& change);

  // The path at the origin, or as users have it; none: it has none.
  [[nodiscard]] std::optional<std::string> path_there(const Node& node) const;
  [[nodiscard]] std::optional<std::string> path_here(const Node& node) const;

  // The node of a path that leads to one or to the origin, and is there.
  Node& touch(std::string_view path, FileType type);

  // Makes it so for users.  The record is right: it was checked, or is from the journal.  Nothing:
  // it is no change.
  std::optional<Change> apply(const Record& record, const RecordPlace& place);

  // It has been done at the origin, or never will be.
  void done(const Change& change, const Went& went);

  // The first of all that is kept of files which are not done (Node::kept); 0: nothing is.
  [[nodiscard]] uint64_t first_kept() const { return kept_.empty() ? 0 : kept_.begin()->first; }
  // Nothing is, from now on.
  void let_go_of_kept();

  // What a kDone of the first `count` changes that wait, which are of one node, says of where that
  // is since, for whoever reads the journal when they are not in it any more.
  void say_where(const std::deque<Change>& queue, size_t count, const Went& went,
                 Record& done) const;
  // Who it is of, and what that directory is.
  [[nodiscard]] NodeId told(const std::deque<Change>& queue, const Told& told,
                            const std::string& path);
  void believe(NodeId id, NodeId above, const Record& done);

  // An open handle.
  void opened(Node& node) { ++node.open; }
  void closed(NodeId id);

  [[nodiscard]] size_t nodes() const { return nodes_.size(); }
  [[nodiscard]] size_t pending() const { return pending_; }
  // Files of which nothing is known but what has changed, after a start; and what the origin says
  // of one.
  [[nodiscard]] std::vector<NodeId> unknown();
  void learned(NodeId id, const NodeInfo& info);

 private:
  Node& make_node(FileType type);
  Node& get(NodeId id);
  Node& directory_of(std::string_view path, std::string& name);
  void take_name(Node& directory, const std::string& name, NodeId node, const Record& record);
  void apply_known(const Record& record);
  void apply_attributes(Node& node, const Record& record);
  void apply_allocate(Node& node, const Record& record);
  void names_done(const Position& at);
  void victim_done(const Change& change, const Went& went);
  void put_there(Node& node, std::optional<Position> there);
  void drop_loosened();
  void settle(Node& node, const std::optional<NodeInfo>& after);
  void may_drop(NodeId id);
  void trim();
  void keep(Node& node, const Change& change, const Went& went);
  void forget_kept(Node& node);
  [[nodiscard]] std::optional<std::string> path_of(const Node& node,
                                                   std::optional<Position> Node::*where) const;

  const size_t remembered_max_;
  std::unordered_map<NodeId, Node> nodes_;
  std::map<uint64_t, NodeId> kept_;  // by the first that is kept of each
  std::vector<NodeId> loosened_;     // directories in which the origin has less than before
  std::deque<NodeId> remembered_;    // since when: the oldest first
  uint64_t last_id_ = 1;
  size_t pending_ = 0;
};

}  // namespace netfs::journal
