#include "origins/sftp/sftp_file.h"

#include <optional>
#include <utility>

#include "origins/sftp/read_job.h"

namespace netfs::origins::sftp {

// Opens the file on one more connection; reads that came for it wait in Handles.
class OpenForRead final : public Operation {
 public:
  OpenForRead(Ref<Handles> handles, Ref<Connection> connection)
      : handles_(std::move(handles)), connection_(std::move(connection)) {}
  void answered(PacketType type, Reader body) override {
    if (type == PacketType::kHandle) return done(decode_handle(body));
    if (type != PacketType::kStatus) return done(Error(EIO, "sftp.open"));
    const Result<Status> status = decode_status(body);
    const int code = status.ok() ? errno_of(status.value()) : status.code();
    done(Error(code != 0 ? code : EIO, "sftp.open"));
  }
  void failed(const Error& error) override { done(error); }

 private:
  void done(Result<std::string> handle) {
    handles_->opened(*connection_, std::move(handle));
    delete this;
  }
  const Ref<Handles> handles_;
  const Ref<Connection> connection_;
};

// Here, where the reads that wait for a handle are a complete type.
Handles::Handles(std::string path) : path_(std::move(path)) {}
Handles::~Handles() = default;

void Handles::make_room(Connection& connection) {
  const std::optional<HandleLedger::Idle> idle = connection.handles().reserve();
  if (!idle) return;
  idle->owner->forget(connection.serial(), idle->handle);
  connection.submit_close(idle->handle);
}

void Handles::forget(uint32_t serial, const std::string& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = by_serial_.find(serial);
  if (found == by_serial_.end() || found->second.state != State::kOpen) return;
  if (found->second.handle == handle) by_serial_.erase(found);
}

void Handles::add(Connection& connection, const std::string& handle) {
  connection.handles().opened(Ref<Handles>(this), handle);
  {
    sync::MutexLock lock(mutex_);
    by_serial_[connection.serial()] = {.state = State::kOpen, .handle = handle, .waiting = {}};
  }
  connection.handles().unuse(handle);
}

std::vector<uint32_t> Handles::serials() const {
  sync::MutexLock lock(mutex_);
  std::vector<uint32_t> serials;
  for (const auto& [serial, entry] : by_serial_) serials.push_back(serial);
  return serials;
}

void Handles::start(Ref<Connection> connection, Ref<ReadJob> job) {
  // Counted from now on, so that what comes next goes elsewhere even while the handle is on its
  // way.
  connection->bytes_wanted += job->length_bytes();
  std::optional<std::string> handle;
  bool open = false;
  {
    sync::MutexLock lock(mutex_);
    const auto [found, is_new] = by_serial_.try_emplace(connection->serial());
    PerConnection& there = found->second;
    if (there.state == State::kOpen && connection->handles().use(there.handle)) {
      handle = there.handle;
    } else {
      // New, or given up and not yet forgotten; else somebody has asked for it already.
      open = is_new || there.state == State::kOpen;
      there.state = State::kOpening;
      there.waiting.push_back(job);
    }
  }
  if (handle) return job->run(std::move(connection), *std::move(handle));
  if (!open) return;
  make_room(*connection);
  auto* operation = new OpenForRead(Ref<Handles>(this), connection);
  const bool asked = connection->submit(
      *operation, [this](Packet& out, uint32_t id) { append_open(out, id, path_); });
  if (!asked) operation->failed(Error(ENOTCONN, "sftp.open"));
}

void Handles::opened(Connection& connection, Result<std::string> handle) {
  std::vector<Ref<ReadJob>> waiting;
  bool closed = false;
  HandleLedger& ledger = connection.handles();
  if (handle.ok()) {
    ledger.opened(Ref<Handles>(this), handle.value());
  } else {
    ledger.refused();
  }
  {
    sync::MutexLock lock(mutex_);
    const auto found = by_serial_.find(connection.serial());
    closed = closed_;
    if (found != by_serial_.end()) {
      waiting.swap(found->second.waiting);
      if (handle.ok() && !closed) {
        found->second.state = State::kOpen;
        found->second.handle = handle.value();
      } else {
        by_serial_.erase(found);
      }
    }
  }
  for (Ref<ReadJob>& job : waiting) {
    if (handle.ok()) {
      ledger.use(handle.value());
      job->run(Ref<Connection>(&connection), handle.value());
    } else {
      connection.bytes_wanted -= job->length_bytes();
      job->fail(handle.error());
    }
  }
  if (!handle.ok()) return;
  ledger.unuse(handle.value());
  if (closed && ledger.remove(handle.value())) connection.submit_close(handle.value());
}

void Handles::close(Pool& pool) {
  std::map<uint32_t, PerConnection> all;
  {
    sync::MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [serial, entry] : by_serial_) {
      if (entry.state == State::kOpen) all.emplace(serial, std::move(entry));
    }
    for (const auto& [serial, entry] : all) by_serial_.erase(serial);
  }
  for (const auto& [serial, entry] : all) {
    const Ref<Connection> connection = pool.find(serial);
    if (connection && connection->handles().remove(entry.handle)) {
      connection->submit_close(entry.handle);
    }
  }
}

}  // namespace netfs::origins::sftp
