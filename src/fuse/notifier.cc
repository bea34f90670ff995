#include "fuse/notifier.h"

#include <array>
#include <sys/uio.h>
#include <system_error>
#include <utility>

#include "telemetry/log.h"

namespace netfs::fuse {

namespace {

Result<void> send_notification(KernelChannel& channel, proto::Notify code,
                               std::span<const iovec> body) {
  std::array<iovec, 4> pieces{};
  NETFS_ASSERT(body.size() < pieces.size());
  proto::OutHeader header{sizeof header, static_cast<int32_t>(code), 0};
  for (size_t i = 0; i < body.size(); ++i) {
    pieces[i + 1] = body[i];
    header.len += static_cast<uint32_t>(body[i].iov_len);
  }
  pieces[0] = {&header, sizeof header};
  return channel.send(0, {pieces.data(), body.size() + 1});
}

template <class T>
iovec piece_of(T& value) {
  return {&value, sizeof value};
}

// The name with its NUL.
iovec piece_of_name(const std::string& name) {
  return {const_cast<char*>(name.c_str()), name.size() + 1};
}

}  // namespace

Result<void> send_resend(KernelChannel& channel) {
  return send_notification(channel, proto::Notify::kResend, {});
}

Notifier::Notifier(KernelChannel& channel, size_t depth_max)
    : channel_(channel), depth_max_(depth_max) {
  teller_ = sync::Thread("netfs-notified", [this] { run_told(); });
  try {
    thread_ = sync::Thread("netfs-notify", [this] { run(); });
  } catch (const std::system_error& error) {
    telemetry::log_error("fuse", "nothing can be told to the kernel: {}", error.what());
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    sent_all_ = true;  // or the other one is waited for in vain
    changed_.notify_all();
  }
}

Notifier::~Notifier() {
  stop();
}

bool Notifier::inval_inode(NodeId node, ByteRange range) {
  return post({.code = proto::Notify::kInvalInode,
               .node = node,
               .offset = static_cast<int64_t>(range.offset_bytes),
               .length = static_cast<int64_t>(range.length_bytes)});
}

bool Notifier::inval_inode(NodeId node, ByteRange range, UniqueFunction<void()> then) {
  return post({.code = proto::Notify::kInvalInode,
               .node = node,
               .offset = static_cast<int64_t>(range.offset_bytes),
               .length = static_cast<int64_t>(range.length_bytes),
               .then = std::move(then)});
}

bool Notifier::inval_attributes(NodeId node, UniqueFunction<void()> then) {
  return post(
      {.code = proto::Notify::kInvalInode, .node = node, .offset = -1, .then = std::move(then)});
}

bool Notifier::inval_entry(NodeId parent, std::string_view name) {
  return post({.code = proto::Notify::kInvalEntry, .node = parent, .name = std::string(name)});
}

bool Notifier::expire_entry(NodeId parent, std::string_view name) {
  return post({.code = proto::Notify::kInvalEntry,
               .node = parent,
               .flags = proto::kExpireOnly,
               .name = std::string(name)});
}

bool Notifier::delete_entry(NodeId parent, NodeId child, std::string_view name) {
  return post(
      {.code = proto::Notify::kDelete, .node = parent, .child = child, .name = std::string(name)});
}

bool Notifier::post(Item item) {
  if (item.name.size() > kNameMax) {
    refused_.add();
    return false;
  }
  sync::MutexLock lock(mutex_);
  if (stopping_ || queue_.size() >= depth_max_) {
    refused_.add();
    return false;
  }
  queue_.push_back(std::move(item));
  counters_.issued.add();
  changed_.notify_all();
  return true;
}

bool Notifier::drain(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  const auto busy = [this]() REQUIRES(mutex_) {
    return sending_ || telling_ || !queue_.empty() || !told_.empty();
  };
  while (busy()) {
    if (!changed_.wait_until(mutex_, deadline.at)) return !busy();
  }
  return true;
}

void Notifier::stop() {
  sync::MutexLock lock(mutex_);
  stopping_ = true;
  std::deque<Item> dropped = std::move(queue_);
  queue_.clear();
  changed_.notify_all();
  lock.unlock();
  for (Item& item : dropped) {
    if (item.then) item.then();
  }
  dropped.clear();
  lock.lock();
  if (std::exchange(joining_, true)) {
    while (!joined_) changed_.wait(mutex_);
    return;
  }
  lock.unlock();
  thread_.join();
  teller_.join();
  lock.lock();
  joined_ = true;
  changed_.notify_all();
}

size_t Notifier::depth() const {
  sync::MutexLock lock(mutex_);
  return queue_.size();
}

void Notifier::run() {
  channel_.isolate_notifier();
  sync::MutexLock lock(mutex_);
  while (true) {
    while (queue_.empty() && !stopping_) changed_.wait(mutex_);
    if (stopping_) break;
    Item item = std::move(queue_.front());
    queue_.pop_front();
    sending_ = true;
    lock.unlock();
    send(item);
    lock.lock();
    if (item.then) told_.push_back(std::move(item.then));
    sending_ = false;
    changed_.notify_all();
  }
  sent_all_ = true;
  changed_.notify_all();
}

void Notifier::run_told() {
  sync::MutexLock lock(mutex_);
  while (true) {
    while (told_.empty() && !sent_all_) changed_.wait(mutex_);
    if (told_.empty()) return;
    UniqueFunction<void()> then = std::move(told_.front());
    told_.pop_front();
    telling_ = true;
    lock.unlock();
    then();
    then = {};  // what it owns goes without the lock
    lock.lock();
    telling_ = false;
    changed_.notify_all();
  }
}

void Notifier::send(const Item& item) {
  Result<void> sent;
  const auto namelen = static_cast<uint32_t>(item.name.size());
  if (item.code == proto::Notify::kInvalInode) {
    proto::NotifyInvalInodeOut out{item.node.value, item.offset, item.length};
    const std::array pieces{piece_of(out)};
    sent = send_notification(channel_, item.code, pieces);
  } else if (item.code == proto::Notify::kInvalEntry) {
    proto::NotifyInvalEntryOut out{item.node.value, namelen, item.flags};
    const std::array pieces{piece_of(out), piece_of_name(item.name)};
    sent = send_notification(channel_, item.code, pieces);
  } else {
    proto::NotifyDeleteOut out{item.node.value, item.child.value, namelen, 0};
    const std::array pieces{piece_of(out), piece_of_name(item.name)};
    sent = send_notification(channel_, item.code, pieces);
  }
  // ENOENT: the kernel does not know it; ENOTDIR, ENOTEMPTY and EBUSY: a name that is in use stays.
  if (sent.ok() || sent.is_error(ENOENT)) {
    counters_.done.add();
    return;
  }
  counters_.failed.add();
  if (!sent.is_error(ENODEV) && !sent.is_error(ENOTCONN)) {
    telemetry::log_debug("fuse", "a notification failed: {}", sent.error().message());
  }
}

}  // namespace netfs::fuse
