#include "netfs/testing/simulated_origin.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

#include "netfs/lock_classes.h"
#include "netfs/testing/simulated_node.h"
#include "netfs/testing/simulated_writer.h"

namespace netfs {

struct SimulatedOrigin::Handle final : OriginFile {
  Handle(std::string p, std::shared_ptr<Node> n, std::shared_ptr<std::atomic<uint64_t>> c)
      : path(std::move(p)), node(std::move(n)), count(std::move(c)) {
    ++*count;
  }
  ~Handle() override { --*count; }
  [[nodiscard]] int descriptor() const override { return fd.get(); }
  const std::string path;
  const std::shared_ptr<Node> node;
  const std::shared_ptr<std::atomic<uint64_t>> count;
  UniqueFd fd;  // that stands for it, or none
};

// What a read is answered with once its turn has come.
struct SimulatedOrigin::Answer {
  ReadOutcome outcome;
  uint64_t progress_bytes = 0;
  bool hangs = false;
};

SimulatedOrigin::SimulatedOrigin(Options options)
    : options_(std::move(options)),
      mutex_(kSimulatedOriginLock),
      open_files_(std::make_shared<std::atomic<uint64_t>>(0)),
      workers_({.name = "sim-origin", .threads = options_.threads}) {
  if (options_.write) writer_ = std::make_unique<SimulatedWriter>(*this);
  sync::MutexLock lock(mutex_);
  auto root = std::make_shared<Node>();
  root->attributes.type = FileType::kDirectory;
  root->attributes.permissions = 0755;
  root->attributes.mtime = {kOldMtime, 0};
  root->identity = next_identity_++;
  nodes_[""] = std::move(root);
}

SimulatedOrigin::~SimulatedOrigin() {
  release_reads();
  workers_.stop();
  std::vector<Subrequest*> left;
  {
    sync::MutexLock lock(mutex_);
    left.swap(hung_);
    left.insert(left.end(), held_.begin(), held_.end());
    held_.clear();
  }
  for (Subrequest* subrequest : left) {
    subrequest->terminated({.transferred_bytes = Error(ECANCELED, "simulated.read")});
  }
  release_hung();
}

void SimulatedOrigin::set_write_fault(
    std::function<std::optional<Fault>(const SimulatedRead&)> fault) {
  sync::MutexLock lock(mutex_);
  write_fault_ = std::move(fault);
}

void SimulatedOrigin::set_before_change(std::function<void(const std::string&)> before) {
  sync::MutexLock lock(mutex_);
  before_change_ = std::move(before);
}

bool SimulatedOrigin::wait_for_hung_writes(size_t count, Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (hung_writes_.size() < count) {
    if (!changed_.wait_until(mutex_, deadline.at)) return hung_writes_.size() >= count;
  }
  return true;
}

std::string SimulatedOrigin::content(const std::string& path) const {
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> node = find_locked(path);
  return node ? node->content : std::string();
}

SimulatedOrigin::Node& SimulatedOrigin::node_of(OriginFile& file) {
  return *static_cast<Handle&>(file).node;
}

void SimulatedOrigin::set_fault(std::function<std::optional<Fault>(const SimulatedRead&)> fault) {
  sync::MutexLock lock(mutex_);
  fault_ = std::move(fault);
}

void SimulatedOrigin::set_metadata_error(int error) {
  sync::MutexLock lock(mutex_);
  metadata_error_ = error;
}

void SimulatedOrigin::hold_reads() {
  sync::MutexLock lock(mutex_);
  holding_ = true;
}

void SimulatedOrigin::release_reads() {
  std::vector<Subrequest*> released;
  {
    sync::MutexLock lock(mutex_);
    holding_ = false;
    released.swap(held_);
  }
  for (Subrequest* subrequest : released) schedule(*subrequest);
}

bool SimulatedOrigin::wait_for_held(size_t count, Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (held_.size() + hung_.size() < count) {
    if (!changed_.wait_until(mutex_, deadline.at)) return held_.size() + hung_.size() >= count;
  }
  return true;
}

void SimulatedOrigin::release_hung() {
  std::vector<Subrequest*> released;
  std::vector<WriteSubrequest*> writes;
  {
    sync::MutexLock lock(mutex_);
    released.swap(hung_);
    writes.swap(hung_writes_);
  }
  for (WriteSubrequest* write : writes) {
    write->terminated({.transferred_bytes = Error(ETIMEDOUT, "simulated.write")});
  }
  for (Subrequest* subrequest : released) {
    subrequest->terminated({.transferred_bytes = Error(ETIMEDOUT, "simulated.read")});
  }
}

SimulatedOrigin::Counts SimulatedOrigin::counts() const {
  sync::MutexLock lock(mutex_);
  return counts_;
}

Deadline SimulatedOrigin::last_open_deadline() const {
  sync::MutexLock lock(mutex_);
  return last_open_deadline_;
}

Deadline SimulatedOrigin::last_read_deadline() const {
  sync::MutexLock lock(mutex_);
  return last_read_deadline_;
}

Result<void> SimulatedOrigin::metadata_call(uint64_t Counts::*counter) {
  sync::MutexLock lock(mutex_);
  ++(counts_.*counter);
  const MonoTime until = Clock::system().now() + options_.latency;
  while (Clock::system().now() < until) changed_.wait_until(mutex_, until);
  if (metadata_error_ != 0) return Error(metadata_error_, "simulated.metadata");
  return {};
}

namespace {

Validator make_validator(const OriginCapabilities& capabilities, uint64_t identity,
                         uint64_t version, const Attributes& attributes) {
  if (capabilities.validator_strength == ValidatorStrength::kNone) return {};
  return {.strength = capabilities.validator_strength,
          .bytes = std::to_string(identity) + "." + std::to_string(version) + "." +
                   std::to_string(attributes.size_bytes),
          .changed_at = attributes.mtime};
}

NodeInfo make_info(const OriginCapabilities& capabilities, uint64_t identity, uint64_t version,
                   const Attributes& attributes) {
  NodeInfo info;
  info.attributes = attributes;
  info.validator = make_validator(capabilities, identity, version, attributes);
  if (capabilities.identity) info.identity = "inode-" + std::to_string(identity);
  return info;
}

}  // namespace

NodeInfo SimulatedOrigin::info_of(const Node& node) const {
  return make_info(options_.capabilities, node.identity, node.version, node.attributes);
}

Result<NodeInfo> SimulatedOrigin::stat(const std::string& path, Deadline /*deadline*/) {
  TRY(metadata_call(&Counts::stats));
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> node = find_locked(path);
  if (!node) return Error(ENOENT, "simulated.stat");
  return make_info(options_.capabilities, node->identity, node->version, node->attributes);
}

Result<void> SimulatedOrigin::list(const std::string& path, Deadline /*deadline*/,
                                   const EntrySink& sink) {
  TRY(metadata_call(&Counts::lists));
  std::vector<OriginEntry> entries;
  {
    sync::MutexLock lock(mutex_);
    const std::shared_ptr<Node> directory = find_locked(path);
    if (!directory) return Error(ENOENT, "simulated.list");
    if (directory->attributes.type != FileType::kDirectory) {
      return Error(ENOTDIR, "simulated.list");
    }
    const std::string prefix = path.empty() ? std::string() : path + "/";
    for (auto at = nodes_.lower_bound(prefix); at != nodes_.end(); ++at) {
      const auto& [name, node] = *at;
      if (!name.starts_with(prefix)) break;
      if (name.empty() || name.find('/', prefix.size()) != std::string::npos) continue;
      entries.push_back(
          {name.substr(prefix.size()),
           make_info(options_.capabilities, node->identity, node->version, node->attributes)});
    }
  }
  for (OriginEntry& entry : entries) TRY(sink(std::move(entry)));
  return {};
}

Result<std::string> SimulatedOrigin::read_link(const std::string& path, Deadline /*deadline*/) {
  TRY(metadata_call(&Counts::stats));
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> node = find_locked(path);
  if (!node) return Error(ENOENT, "simulated.read_link");
  if (node->attributes.type != FileType::kSymlink) return Error(EINVAL, "simulated.read_link");
  return node->content;
}

Result<FileSystemStats> SimulatedOrigin::stat_file_system(Deadline /*deadline*/) {
  FileSystemStats stats;
  stats.blocks = 1 << 20;
  stats.blocks_free = 1 << 19;
  stats.blocks_available = 1 << 19;
  return stats;
}

Result<std::unique_ptr<OriginFile>> SimulatedOrigin::open(const std::string& path,
                                                          Deadline deadline) {
  return open(path, O_RDONLY, deadline);
}

Result<std::unique_ptr<OriginFile>> SimulatedOrigin::take_over(UniqueFd descriptor,
                                                               NodeInfo& info) {
  sync::MutexLock lock(mutex_);
  struct stat st {};
  if (::fstat(descriptor.get(), &st) != 0) return Error::from_errno("simulated.take_over");
  const auto found = by_descriptor_.find(st.st_ino);
  if (found == by_descriptor_.end()) return Error(ESTALE, "simulated.take_over");
  info = info_of(*found->second);
  auto handle = std::make_unique<Handle>("", found->second, open_files_);
  handle->fd = std::move(descriptor);
  return std::unique_ptr<OriginFile>(std::move(handle));
}

Result<std::unique_ptr<OriginFile>> SimulatedOrigin::open(const std::string& path, int access,
                                                          Deadline deadline) {
  TRY(metadata_call(&Counts::opens));
  sync::MutexLock lock(mutex_);
  last_open_deadline_ = deadline;
  std::shared_ptr<Node> node = find_locked(path);
  if (!node) return Error(ENOENT, "simulated.open");
  if (node->attributes.type != FileType::kRegular) return Error(EISDIR, "simulated.open");
  auto handle = std::make_unique<Handle>(path, node, open_files_);
  handle->fd = descriptor_locked(node, access);
  return std::unique_ptr<OriginFile>(std::move(handle));
}

void SimulatedOrigin::issue_read(Subrequest& subrequest) {
  {
    sync::MutexLock lock(mutex_);
    last_read_deadline_ = subrequest.deadline();
    const Node* node = static_cast<Handle&>(subrequest.file()).node.get();
    const auto [begin, end] = in_flight_.equal_range(node);
    if (std::any_of(begin, end, [&](const auto& other) {
          return !other.second.intersect(subrequest.range()).empty();
        })) {
      ++counts_.overlapping_reads;
    }
    in_flight_.emplace(node, subrequest.range());
    if (holding_) {
      held_.push_back(&subrequest);
      changed_.notify_all();
      return;
    }
  }
  schedule(subrequest);
}

void SimulatedOrigin::schedule(Subrequest& subrequest) {
  if (options_.inline_answers) {
    answer(subrequest);
  } else if (options_.latency.count() > 0) {
    (void)workers_.post_at(Clock::system().now() + options_.latency,
                           [this, &subrequest] { answer(subrequest); });
  } else {
    (void)workers_.post([this, &subrequest] { answer(subrequest); });
  }
}

SimulatedOrigin::Answer SimulatedOrigin::prepare_locked(Subrequest& subrequest) {
  const auto& handle = static_cast<const Handle&>(subrequest.file());
  const Node& node = *handle.node;
  const ByteRange range = subrequest.range();
  const uint64_t size = node.attributes.size_bytes;
  std::optional<Fault> fault;
  if (fault_) fault = fault_({counts_.reads, handle.path, range});
  ++counts_.reads;
  if (range.offset_bytes >= size) ++counts_.past_end_reads;

  Answer answer;
  uint64_t count = range.intersect({0, size}).length_bytes;
  const bool limited = fault && (fault->kind == Fault::kShort || fault->kind == Fault::kEndOfFile);
  if (limited) count = std::min(count, fault->bytes);
  const std::span<std::byte> to = subrequest.destination().first(count);
  if (node.pattern_seed) {
    for (uint64_t i = 0; i < count; ++i) {
      to[i] = pattern_byte(*node.pattern_seed, range.offset_bytes + i);
    }
  } else if (count > 0) {
    std::memcpy(to.data(), node.content.data() + range.offset_bytes, count);
  }
  counts_.read_bytes += count;
  answer.progress_bytes = count;
  answer.outcome.transferred_bytes = count;
  answer.outcome.hit_end_of_file = !limited && range.offset_bytes + count == size;
  answer.outcome.confirm_first = options_.confirm_first;
  if (options_.validator_after) {
    answer.outcome.validator_after =
        make_validator(options_.capabilities, node.identity, node.version, node.attributes);
  }
  if (!fault) return answer;
  switch (fault->kind) {
    case Fault::kError:
      answer.outcome = {.transferred_bytes = Error(fault->error, "simulated.read")};
      break;
    case Fault::kOver:
      answer.outcome.transferred_bytes = range.length_bytes + fault->bytes;
      break;
    case Fault::kHang:
      answer.hangs = true;
      break;
    case Fault::kEndOfFile:
      answer.outcome.hit_end_of_file = true;
      break;
    case Fault::kGarbage:
      for (std::byte& byte : to) byte ^= std::byte{0x5a};
      [[fallthrough]];
    case Fault::kOtherVersion:
      answer.progress_bytes = 0;
      answer.outcome.validator_after =
          make_validator(options_.capabilities, node.identity, node.version + 1, node.attributes);
      break;
    case Fault::kShort:
      break;
  }
  return answer;
}

void SimulatedOrigin::answer(Subrequest& subrequest) {
  Answer answer;
  {
    sync::MutexLock lock(mutex_);
    answer = prepare_locked(subrequest);
    const Node* node = static_cast<Handle&>(subrequest.file()).node.get();
    auto [at, end] = in_flight_.equal_range(node);
    while (at != end && !(at->second == subrequest.range())) ++at;
    if (at != end) in_flight_.erase(at);
    if (answer.hangs) {
      hung_.push_back(&subrequest);
      changed_.notify_all();
      return;
    }
  }
  if (options_.progress_bytes > 0) {
    for (uint64_t bytes = options_.progress_bytes; bytes < answer.progress_bytes;
         bytes += options_.progress_bytes) {
      subrequest.progress(bytes);
    }
  }
  subrequest.terminated(std::move(answer.outcome));
}

}  // namespace netfs
