// SftpWriter, attributes: of files that are there, and of new ones that did not come out as asked.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/sftp/sftp_writer.h"

namespace netfs::origins::sftp {

namespace {

uint32_t seconds_of(const NewTime& time) {
  const int64_t seconds = time.now ? Clock::system().wall().seconds : time.time.seconds;
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, UINT32_MAX));
}

// Owner and group go in pairs, and so do the times: one alone is filled up with what there was.
bool is_half(const AttributeChange& change) {
  return change.uid.has_value() != change.gid.has_value() ||
         change.atime.has_value() != change.mtime.has_value();
}

SetAttributes to_wire(const AttributeChange& change, const Attributes& before) {
  SetAttributes wire;
  wire.size_bytes = change.size_bytes;
  wire.permissions = change.permissions;
  if (change.uid || change.gid) {
    wire.owner = {.uid = change.uid.value_or(before.uid), .gid = change.gid.value_or(before.gid)};
  }
  if (change.atime || change.mtime) {
    wire.times = {
        .atime_seconds = seconds_of(change.atime.value_or(NewTime{.time = before.atime})),
        .mtime_seconds = seconds_of(change.mtime.value_or(NewTime{.time = before.mtime}))};
  }
  return wire;
}

}  // namespace

// Whether the server can set what a link itself has.
Result<bool> SftpWriter::sets_links(Deadline deadline) {
  return TRY(asker_.pool().acquire(deadline))->greeting().version.lsetstat;
}

// By the handle where there is one; else by path, a link itself where the server can, but for the
// size, which has no such request.  A step is carried out although one before it failed.  What was
// seen before by a lost attempt stays: that attempt may have been carried out.
Result<void> SftpWriter::set_on(Connection& connection, const FileAt& file, const Steps& steps,
                                WantsSeen wants, Setting& setting, Deadline deadline) {
  const auto* open = static_cast<SftpWriteFile*>(file.open);
  const std::string full = asker_.absolute(file.path);
  const bool by_link = connection.greeting().version.lsetstat;
  Batch batch(connection);
  const auto look = [&] {
    if (open == nullptr) return batch.ask(asker_.look_at(file.path));
    batch.ask([&](Packet& out, uint32_t id) {
      append_handle_request(out, PacketType::kFstat, id, open->handle());
    });
  };
  const auto seen = [&] { return Asker::info_at(file.path, batch.answer(deadline)); };
  const bool before = wants.before && !(setting.before && setting.before->ok());
  if (before) look();
  for (const SetAttributes& step : steps) {
    batch.ask([&](Packet& out, uint32_t id) {
      if (open != nullptr) {
        append_set(out, PacketType::kFsetstat, id, open->handle(), step);
      } else if (by_link && !step.size_bytes) {
        append_extended_set(out, id, full, step);
      } else {
        append_set(out, PacketType::kSetstat, id, full, step);
      }
    });
  }
  if (wants.after) look();
  if (before) setting.before = seen();
  setting.done.clear();
  for (size_t i = 0; i < steps.size(); ++i) {
    setting.done.push_back(expect_ok(TRY(batch.answer(deadline)), "sftp.set"));
  }
  if (wants.after) setting.after = seen();
  return {};
}

Result<void> SftpWriter::set(const FileAt& file, const Steps& steps, WantsSeen wants,
                             Setting& setting, Deadline deadline) {
  if (file.open != nullptr) {
    const Ref<Connection> connection = static_cast<SftpWriteFile&>(*file.open).connection();
    if (!connection) return Error(ENOTCONN, "sftp.set");
    TRY(set_on(*connection, file, steps, wants, setting, deadline));
  } else {
    TRY(asker_.on_connection(deadline, [&](Connection& connection) {
      return set_on(connection, file, steps, wants, setting, deadline);
    }));
  }
  // Lost with its connection, behind steps whose answers are known.
  if (setting.after && setting.after->is_error(ENOTCONN)) {
    setting.after = asker_.stat(file.path, deadline);
  }
  return {};
}

// One step that has to succeed.
Result<void> SftpWriter::set_one(const FileAt& file, const SetAttributes& step, WantsSeen wants,
                                 Setting& setting, Deadline deadline) {
  TRY(set(file, {step}, wants, setting, deadline));
  // Whoever cannot be looked at is not there, or not for this login: that says more.
  if (setting.before && !setting.before->ok()) return setting.before->error();
  // Version 3 has no word of a server's for it.
  if (setting.before && step.permissions &&
      setting.before->value().attributes.type == FileType::kSymlink) {
    return Error(EOPNOTSUPP, "sftp.set");
  }
  Result<void> done = std::move(setting.done.front());
  return done.ok() ? done : explain(std::move(done).error(), file.path, deadline);
}

Result<NodeInfo> SftpWriter::look(const FileAt& file, Deadline deadline) {
  if (file.open == nullptr) return asker_.stat(file.path, deadline);
  const auto& open = static_cast<SftpWriteFile&>(*file.open);
  const Ref<Connection> connection = open.connection();
  if (!connection) return Error(ENOTCONN, "sftp.set");
  return stat_handle(*connection, open.handle(), deadline);
}

Result<Seen> SftpWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                        Deadline deadline) {
  Setting setting;
  // SETSTAT by path follows links, so there has to be none.
  const bool follows = file.open == nullptr && (change.size_bytes || !TRY(sets_links(deadline)));
  if (follows || is_half(change)) {
    setting.before = TRY(look(file, deadline));
    if (follows && setting.before->value().attributes.type == FileType::kSymlink) {
      return Error(EOPNOTSUPP, "sftp.set");
    }
  }
  const SetAttributes wire =
      to_wire(change, setting.before ? setting.before->value().attributes : Attributes{});
  // Permissions last, and only if the rest was done: giving a file away takes set-ID bits from
  // them; the server itself sets them before the owner, and goes on after a failure.
  SetAttributes first = wire;
  first.permissions.reset();
  SetAttributes last;
  last.permissions = wire.permissions;
  const bool any_first = first.size_bytes || first.owner || first.times;
  Seen seen;
  if (!any_first && !last.permissions) {
    seen.after = TRY(look(file, deadline));
    seen.before = seen.after->validator;
    return seen;
  }
  if (any_first && last.permissions) {
    TRY(set_one(file, first, {.before = true, .after = false}, setting, deadline));
  }
  TRY(set_one(file, last.permissions ? last : first, {.before = true, .after = true}, setting,
              deadline));
  seen.before = setting.before->value().validator;
  seen.after = TRY(*std::move(setting.after));
  return seen;
}

// Owner and permissions as they were asked for: the server's umask took some away, and giving a
// file away may take set-ID bits.
Result<NodeInfo> SftpWriter::finish_new(FileAt made, const NewNode& what, const NodeInfo& info,
                                        Deadline deadline) {
  const Attributes& got = info.attributes;
  const bool is_link = what.type == FileType::kSymlink;
  SetAttributes owner;
  if (what.owner && may_give_away_.load() &&
      (got.uid != what.owner->uid || got.gid != what.owner->gid) &&
      (!is_link || TRY(sets_links(deadline)))) {
    owner.owner = {.uid = what.owner->uid, .gid = what.owner->gid};
  }
  SetAttributes permissions;
  const uint32_t wanted =
      what.permissions | (what.type == FileType::kDirectory ? got.permissions & 02000 : 0);
  if (!is_link && (got.permissions != wanted || owner.owner)) permissions.permissions = wanted;
  Steps steps;
  if (owner.owner) steps.push_back(owner);
  if (permissions.permissions) steps.push_back(permissions);
  if (steps.empty()) return info;
  // The permissions are set whether or not it could be given away, so they need not wait for that.
  constexpr WantsSeen kAfter{.before = false, .after = true};
  Setting setting;
  Result<void> set_all = set(made, steps, kAfter, setting, deadline);
  if (set_all.is_error(ENOTCONN) && made.open != nullptr) {
    made.open = nullptr;  // its handle is gone
    set_all = set(made, steps, kAfter, setting, deadline);
  }
  TRY(std::move(set_all));
  if (owner.owner) {
    const Result<void>& given = setting.done.front();
    if (given.is_error(EACCES) || given.is_error(EPERM)) may_give_away_ = false;
    if (!given.ok() && !given.is_error(EACCES) && !given.is_error(EPERM) &&
        !given.is_error(EOPNOTSUPP) && !given.is_error(EIO)) {
      return given.error();
    }
  }
  if (permissions.permissions && !setting.done.back().ok()) {
    return explain(setting.done.back().error(), made.path, deadline);
  }
  return *std::move(setting.after);
}

}  // namespace netfs::origins::sftp
