#include "netfs/testing/simulated_writer.h"

#include <algorithm>
#include <fcntl.h>
#include <utility>

#include "netfs/testing/simulated_node.h"

namespace netfs {

void SimulatedWriter::begin_change(const std::string& path) {
  std::function<void(const std::string&)> before;
  {
    sync::MutexLock lock(origin_.mutex_);
    before = origin_.before_change_;
  }
  if (before) before(path);
}

Result<NodeInfo> SimulatedWriter::put_new(const std::string& path, const NewNode& what) {
  begin_change(path);
  sync::MutexLock lock(origin_.mutex_);
  if (origin_.metadata_error_ != 0) return Error(origin_.metadata_error_, "simulated.make");
  if (origin_.find_locked(path)) return Error(EEXIST, "simulated.make");
  auto node = std::make_shared<SimulatedOrigin::Node>();
  node->attributes.type = what.type;
  node->attributes.permissions = what.permissions;
  node->attributes.mtime = {SimulatedOrigin::kOldMtime, 0};
  node->content = what.target;
  node->attributes.size_bytes = what.target.size();
  origin_.put_locked(path, node);
  return origin_.info_of(*node);
}

Result<NodeInfo> SimulatedWriter::make(const std::string& path, const NewNode& what,
                                       Deadline /*deadline*/) {
  return put_new(path, what);
}

Result<OpenedFile> SimulatedWriter::create(const std::string& path, const NewNode& what,
                                           Deadline deadline) {
  TRY(put_new(path, what));
  return open_for_writing(path, deadline);
}

Result<OpenedFile> SimulatedWriter::take_over(UniqueFd descriptor, Deadline /*deadline*/) {
  OpenedFile opened;
  opened.file = TRY(origin_.take_over(std::move(descriptor), opened.info));
  opened.readable = true;
  return opened;
}

Result<OpenedFile> SimulatedWriter::open_for_writing(const std::string& path, Deadline deadline) {
  OpenedFile opened;
  opened.file = TRY(origin_.open(path, O_RDWR, deadline));
  opened.readable = true;
  opened.info = TRY(origin_.stat(path, deadline));
  return opened;
}

Result<void> SimulatedWriter::remove(const std::string& path, RemoveKind /*kind*/,
                                     Deadline /*deadline*/) {
  begin_change(path);
  sync::MutexLock lock(origin_.mutex_);
  const std::shared_ptr<SimulatedOrigin::Node> node = origin_.find_locked(path);
  if (!node) return Error(ENOENT, "simulated.remove");
  node->attributes.link_count = 0;
  origin_.nodes_.erase(path);
  return {};
}

Result<void> SimulatedWriter::rename(const std::string& from, const std::string& to,
                                     RenameHow /*how*/, Deadline /*deadline*/) {
  begin_change(from);
  sync::MutexLock lock(origin_.mutex_);
  const auto found = origin_.nodes_.find(from);
  if (found == origin_.nodes_.end()) return Error(ENOENT, "simulated.rename");
  origin_.nodes_[to] = found->second;
  origin_.nodes_.erase(from);
  const std::string beneath = from + "/";
  for (auto at = origin_.nodes_.lower_bound(beneath);
       at != origin_.nodes_.end() && at->first.starts_with(beneath);) {
    origin_.nodes_[to + "/" + at->first.substr(beneath.size())] = at->second;
    at = origin_.nodes_.erase(at);
  }
  return {};
}

Result<NodeInfo> SimulatedWriter::link(const FileAt& /*from*/, const std::string& /*to*/,
                                       Deadline /*deadline*/) {
  return Error(EPERM, "simulated.link");
}

Result<Seen> SimulatedWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                             Deadline /*deadline*/) {
  begin_change(file.path);
  sync::MutexLock lock(origin_.mutex_);
  const std::shared_ptr<SimulatedOrigin::Node> node = origin_.find_locked(file.path);
  if (!node) return Error(ENOENT, "simulated.set_attributes");
  Seen seen;
  seen.before = origin_.info_of(*node).validator;
  if (change.permissions) node->attributes.permissions = *change.permissions;
  if (change.mtime) node->attributes.mtime = change.mtime->time;
  if (change.size_bytes) {
    node->content.resize(*change.size_bytes);
    node->attributes.size_bytes = *change.size_bytes;
    ++node->version;
  }
  seen.after = origin_.info_of(*node);
  return seen;
}

void SimulatedWriter::issue_write(WriteSubrequest& subrequest) {
  if (origin_.options_.inline_answers) return answer(subrequest);
  (void)origin_.workers_.post([this, &subrequest] { answer(subrequest); });
}

void SimulatedWriter::answer(WriteSubrequest& subrequest) {
  WriteOutcome outcome;
  {
    sync::MutexLock lock(origin_.mutex_);
    SimulatedOrigin::Node& node = origin_.node_of(subrequest.file());
    const ByteRange range = subrequest.range();
    std::optional<Fault> fault;
    if (origin_.write_fault_) fault = origin_.write_fault_({origin_.counts_.writes, "", range});
    ++origin_.counts_.writes;
    if (fault && fault->kind == Fault::kHang) {
      origin_.hung_writes_.push_back(&subrequest);
      origin_.changed_.notify_all();
      return;
    }
    if (fault && fault->kind == Fault::kError) {
      outcome.transferred_bytes = Error(fault->error, "simulated.write");
    } else {
      uint64_t length = range.length_bytes;
      if (fault && fault->kind == Fault::kShort) length = std::min(length, fault->bytes);
      outcome.seen.before = origin_.info_of(node).validator;
      const auto* from = reinterpret_cast<const char*>(subrequest.source().data());
      if (node.content.size() < range.offset_bytes + length) {
        node.content.resize(range.offset_bytes + length);
      }
      node.content.replace(range.offset_bytes, length, from, length);
      node.attributes.size_bytes = node.content.size();
      node.pattern_seed.reset();
      ++node.version;
      outcome.transferred_bytes = length;
      outcome.seen.after = origin_.info_of(node);
    }
    if (fault && fault->kind == Fault::kOver) {
      outcome.transferred_bytes = range.length_bytes + fault->bytes;
    }
  }
  subrequest.terminated(std::move(outcome));
}

Result<void> SimulatedWriter::sync(const FileAt& /*file*/, SyncKind /*kind*/,
                                   Deadline /*deadline*/) {
  sync::MutexLock lock(origin_.mutex_);
  ++origin_.counts_.syncs;
  return {};
}
Result<void> SimulatedWriter::sync_all(Deadline /*deadline*/) {
  return {};
}
Result<Seen> SimulatedWriter::allocate(OriginFile& /*file*/, uint32_t /*mode*/, ByteRange /*range*/,
                                       Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "simulated.allocate");
}

}  // namespace netfs
