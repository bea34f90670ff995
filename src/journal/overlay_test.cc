// Goal: whatever is done here and however far the origin has followed, users see what they did, and
// a start anew at any point shows the same.  Method: random changes against a plain tree, which the
// overlay over a second plain tree, the origin's, must look like after each step.

#include "journal/overlay.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace netfs::journal {
namespace {

struct PlainNode {
  FileType type = FileType::kRegular;
  uint32_t permissions = 0644;
  std::string bytes;
  friend bool operator==(const PlainNode&, const PlainNode&) = default;
};

// Paths and what is there; the root is not among them.
using Plain = std::map<std::string, PlainNode>;

bool lies_in(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

void move(Plain& tree, const std::string& from, const std::string& to) {
  Plain moved;
  for (auto at = tree.begin(); at != tree.end();) {
    if (at->first == from || lies_in(at->first, from)) {
      moved[to + at->first.substr(from.size())] = at->second;
      at = tree.erase(at);
    } else {
      ++at;
    }
  }
  for (auto& [path, node] : moved) tree[path] = node;
}

void carry_out(Plain& tree, const Record& record, const std::string& path, const std::string& to,
               const std::string& data) {
  switch (record.kind) {
    case RecordKind::kMake:
      ASSERT_FALSE(tree.contains(path)) << path;
      tree[path] = {record.made.type, record.made.permissions, ""};
      return;
    case RecordKind::kRemove:
      ASSERT_EQ(tree.erase(path), 1U) << path;
      return;
    case RecordKind::kRename:
      ASSERT_TRUE(tree.contains(path)) << path;
      tree.erase(to);
      return move(tree, path, to);
    case RecordKind::kSetAttributes:
      ASSERT_TRUE(tree.contains(path)) << path;
      if (record.change.permissions) tree[path].permissions = *record.change.permissions;
      if (record.change.size_bytes) tree[path].bytes.resize(*record.change.size_bytes, '\0');
      return;
    case RecordKind::kWrite: {
      ASSERT_TRUE(tree.contains(path)) << path;
      std::string& bytes = tree[path].bytes;
      if (bytes.size() < record.range.end_bytes()) bytes.resize(record.range.end_bytes(), '\0');
      bytes.replace(record.range.offset_bytes, data.size(), data);
      return;
    }
    default:
      FAIL();
  }
}

// An overlay over an origin, a tree that tells what it must look like, and the journal between.
class Both {
 public:
  explicit Both(uint64_t seed) : random_(seed) {
    for (const char* directory : {"a", "b", "a/c"}) origin_[directory] = {FileType::kDirectory};
    for (const char* file : {"f", "a/f", "a/c/f", "b/g"}) {
      origin_[file] = {FileType::kRegular, 0600, "the origin's " + std::string(file)};
    }
    users_ = origin_;
  }

  void change_something() {
    Record record;
    std::string data;
    if (!draw(record, data)) return;
    if (record.kind != RecordKind::kMake) make_known(record.path);
    record.sequence = ++sequence_;
    data_[record.sequence] = data;
    carry_out(users_, record, record.path, record.to, data);
    log_.push_back(record);
    take(record);
  }

  void upload_one() {
    if (changes_.empty()) return;
    const Change change = changes_.front();
    changes_.pop_front();
    const Record& record = record_of(change.sequence);
    Node& node = *overlay_->node(change.node);
    std::string path =
        change.kind == RecordKind::kMake ? place(change.at) : overlay_->path_there(node).value();
    const std::string to = change.kind == RecordKind::kRename ? place(change.at) : "";
    carry_out(origin_, record, path, to, data_[change.sequence]);
    std::optional<NodeInfo> after;
    if (random_() % 2 == 0 && change.kind == RecordKind::kWrite) after = info_of(path);
    Went went{.after = after, .left = std::nullopt};
    if (after) went.left = after->validator;
    overlay_->done(change, went);
    done_ = change.sequence;
  }

  // As a process that was killed starts again.
  void start_anew() {
    overlay_.emplace(4);
    changes_.clear();
    for (const Record& record : log_) {
      if (record.sequence > done_) take(record);
    }
    for (const NodeId id : overlay_->unknown()) {
      overlay_->learned(id, info_of(overlay_->path_there(*overlay_->node(id)).value()));
    }
  }

  void compare() {
    Plain seen;
    show("", seen);
    ASSERT_EQ(seen.size(), users_.size()) << "after change " << sequence_ << ", done " << done_;
    for (const auto& [path, node] : users_) {
      const auto found = seen.find(path);
      ASSERT_NE(found, seen.end()) << path << " after change " << sequence_ << ", done " << done_;
      ASSERT_EQ(found->second.bytes, node.bytes) << path;
      ASSERT_EQ(found->second.permissions, node.permissions) << path;
      ASSERT_EQ(found->second.type, node.type) << path;
    }
    ASSERT_EQ(overlay_->pending(), changes_.size());
  }

  [[nodiscard]] size_t nodes() const { return overlay_->nodes(); }
  [[nodiscard]] size_t behind() const { return changes_.size(); }
  [[nodiscard]] const Plain& origin() const { return origin_; }
  [[nodiscard]] const Plain& users() const { return users_; }

 private:
  std::string place(const Position& at) {
    const std::string above = overlay_->path_there(*overlay_->node(at.directory)).value();
    return above.empty() ? at.name : above + "/" + at.name;
  }
  const Record& record_of(uint64_t sequence) {
    for (const Record& record : log_) {
      if (record.sequence == sequence) return record;
    }
    ADD_FAILURE();
    return log_.front();
  }

  void take(const Record& record) {
    const std::optional<Change> change = overlay_->apply(record, {.sequence = record.sequence});
    if (change) changes_.push_back(*change);
  }

  NodeInfo info_of(const std::string& path) {
    NodeInfo info;
    const PlainNode& node = origin_.at(path);
    info.attributes.type = node.type;
    info.attributes.permissions = node.permissions;
    info.attributes.size_bytes = node.bytes.size();
    info.validator = {
        ValidatorStrength::kStrong, node.bytes + std::to_string(node.permissions), {}};
    return info;
  }

  // What users see of the origin's at the path goes into the journal before it changes.
  void make_known(const std::string& path) {
    const Overlay::Found found = overlay_->find(path);
    const bool here = found.leads == Overlay::Leads::kToNode && found.node->state.base;
    const std::string there = found.leads == Overlay::Leads::kToOrigin
                                  ? found.origin_path
                                  : overlay_->path_there(*found.node).value_or("");
    if (here || origin_.at(there).type == FileType::kDirectory) return;
    Record known{.kind = RecordKind::kKnown, .sequence = ++sequence_, .path = path};
    known.info = info_of(there);
    log_.push_back(known);
    take(known);
  }

  std::string draw_path(bool file_only) {
    std::vector<std::string> all;
    for (const auto& [path, node] : users_) {
      if (!file_only || node.type == FileType::kRegular) all.push_back(path);
    }
    return all.empty() ? "" : all[random_() % all.size()];
  }
  std::string draw_new_path() {
    std::vector<std::string> directories = {""};
    for (const auto& [path, node] : users_) {
      if (node.type == FileType::kDirectory) directories.push_back(path + "/");
    }
    return directories[random_() % directories.size()] +
           std::string(1, static_cast<char>('a' + random_() % 8));
  }

  // False: the tree has nothing to do it to.
  bool draw(Record& record, std::string& data) {
    const uint64_t what = random_() % 12;
    if (what < 3) {
      record.kind = RecordKind::kMake;
      record.path = draw_new_path();
      record.made.type = random_() % 2 == 0 ? FileType::kDirectory : FileType::kRegular;
      record.made.permissions = 0600 + random_() % 64;
      return !users_.contains(record.path);
    }
    record.path = draw_path(what >= 7);
    if (record.path.empty()) return false;
    if (what < 5) {
      record.kind = RecordKind::kRemove;
      for (const auto& [path, node] : users_) {
        if (lies_in(path, record.path)) return false;
      }
      const bool directory = users_[record.path].type == FileType::kDirectory;
      record.remove = directory ? RemoveKind::kDirectory : RemoveKind::kFile;
      return true;
    }
    if (what < 7) {
      record.kind = RecordKind::kRename;
      record.to = draw_new_path();
      const auto target = users_.find(record.to);
      if (record.to == record.path || lies_in(record.to, record.path)) return false;
      if (target == users_.end()) record.how = RenameHow::kNoReplace;
      return target == users_.end() || (target->second.type == FileType::kRegular &&
                                        users_[record.path].type == FileType::kRegular);
    }
    if (what < 9) {
      record.kind = RecordKind::kSetAttributes;
      if (random_() % 2 == 0) record.change.permissions = 0600 + random_() % 64;
      if (random_() % 2 == 0) record.change.size_bytes = random_() % 40;
      return true;
    }
    record.kind = RecordKind::kWrite;
    data.assign(1 + random_() % 20, static_cast<char>('A' + random_() % 26));
    record.range = {random_() % 30, data.size()};
    return true;
  }

  std::string bytes_of(Node& node) {
    const std::optional<std::string> there = overlay_->path_there(node);
    std::string bytes = there ? origin_.at(*there).bytes : "";
    bytes.resize(std::min<uint64_t>(bytes.size(), node.visible_bytes()));
    const uint64_t size = node.state.asks_origin() ? bytes.size() : node.state.size_bytes();
    bytes.resize(size, '\0');
    for (const Extent& extent : node.extents.in({0, 1000})) {
      bytes.replace(extent.range.offset_bytes, extent.range.length_bytes,
                    data_[extent.sequence].substr(extent.place_offset, extent.range.length_bytes));
    }
    return bytes;
  }

  void show_one(const std::string& path, Plain& seen) {
    const Overlay::Found found = overlay_->find(path);
    if (found.leads == Overlay::Leads::kToOrigin) {
      const auto there = origin_.find(found.origin_path);
      if (there == origin_.end()) return;
      seen[path] = there->second;
    } else {
      ASSERT_EQ(found.leads, Overlay::Leads::kToNode) << path;
      const std::optional<std::string> there = overlay_->path_there(*found.node);
      NodeInfo origin;
      if (there) origin = info_of(*there);
      const NodeInfo info = shown(found.node->state, there ? &origin : nullptr, "test");
      const bool directory = info.attributes.type == FileType::kDirectory;
      const std::string bytes = directory ? std::string() : bytes_of(*found.node);
      if (!directory) {
        ASSERT_EQ(info.attributes.size_bytes, bytes.size()) << path;
      }
      seen[path] = {info.attributes.type, info.attributes.permissions, bytes};
    }
    if (seen[path].type == FileType::kDirectory) show(path, seen);
  }

  void show(const std::string& directory, Plain& seen) {
    const Overlay::Found found = overlay_->find(directory);
    std::set<std::string> names;
    std::optional<std::string> there = found.origin_path;
    if (found.node != nullptr) there = overlay_->path_there(*found.node);
    for (const auto& [path, node] : origin_) {
      if (!there || !(there->empty() || lies_in(path, *there))) continue;
      const std::string name = path.substr(there->empty() ? 0 : there->size() + 1);
      if (name.find('/') == std::string::npos) names.insert(name);
    }
    if (found.node != nullptr) {
      for (const auto& [name, entry] : found.node->entries) {
        names.insert(name);
        if (entry.node == NodeId::kNone) names.erase(name);
      }
    }
    for (const std::string& name : names) {
      show_one(directory.empty() ? name : directory + "/" + name, seen);
    }
  }

  std::mt19937_64 random_;
  Plain origin_;
  Plain users_;
  std::optional<Overlay> overlay_{4};
  std::vector<Record> log_;
  std::map<uint64_t, std::string> data_;
  std::deque<Change> changes_;
  uint64_t sequence_ = 0;
  uint64_t done_ = 0;
};

TEST(Overlay, UsersSeeWhatTheyDidHoweverFarTheOriginIs) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Both both(seed);
    std::mt19937_64 random(seed);
    const uint64_t uploads = 1 + random() % 4;  // of 5
    for (int step = 0; step < 200; ++step) {
      if (random() % 5 < uploads) {
        both.upload_one();
      } else {
        both.change_something();
      }
      if (random() % 40 == 0) both.start_anew();
      both.compare();
      if (testing::Test::HasFatalFailure()) return;
    }
    while (both.behind() > 0) both.upload_one();
    both.compare();
    ASSERT_TRUE(both.origin() == both.users());
    // What is remembered is bounded: the root, 4, and the directories above those.
    EXPECT_LT(both.nodes(), 40U);
  }
}

TEST(Extents, TheNewestBytesAreFoundAndNoOthers) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    Extents extents;
    std::vector<uint64_t> model(200, 0);  // the sequence that wrote each byte
    for (uint64_t sequence = 1; sequence < 60; ++sequence) {
      const uint64_t at = random() % 180;
      const uint64_t what = random() % 8;
      if (what == 0) {
        extents.cut(at);
        std::fill(model.begin() + static_cast<long>(at), model.end(), 0);
      } else if (what == 1) {
        const uint64_t upto = random() % sequence;
        extents.drop(upto);
        for (uint64_t& byte : model) byte = byte <= upto ? 0 : byte;
      } else {
        const uint64_t length = random() % 20;
        extents.add({{at, length}, sequence, false, {}, 0});
        std::fill_n(model.begin() + static_cast<long>(at), length, sequence);
      }
      const uint64_t from = random() % 100;
      const ByteRange range{from, random() % 100};
      std::vector<uint64_t> seen(200, 0);
      for (const Extent& extent : extents.in(range)) {
        ASSERT_TRUE(range.contains(extent.range));
        std::fill_n(seen.begin() + static_cast<long>(extent.range.offset_bytes),
                    extent.range.length_bytes, extent.sequence);
      }
      for (uint64_t i = range.offset_bytes; i < range.end_bytes(); ++i) {
        ASSERT_EQ(seen[i], model[i]) << "seed " << seed << " byte " << i;
      }
    }
  }
}

}  // namespace
}  // namespace netfs::journal
