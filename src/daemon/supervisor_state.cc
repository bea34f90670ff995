#include "daemon/supervisor_state.h"

#include <climits>
#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/json_fields.h"
#include "daemon/packet.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr size_t kHeldMax = 4096;

Result<UniqueFd> descriptor(const json& number) {
  if (!number.is_number_integer()) return Error(EPROTO, "supervisor_state", "descriptor");
  const int64_t fd = number.get<int64_t>();
  if (fd < 0) return UniqueFd();
  if (fd > INT_MAX || ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC) != 0) {
    return Error(EBADF, "supervisor_state", "descriptor");
  }
  return UniqueFd(static_cast<int>(fd));
}

Result<UniqueFd> fd_field(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return Error(EPROTO, "supervisor_state", name);
  return descriptor(*found);
}

// How a descriptor is written, and what is found again by that.
using WordOf = std::function<json(int fd)>;
using TakeBy = std::function<Result<UniqueFd>(const json& word)>;

json encode_held(uint64_t id, const HeldMount& held, const WordOf& word_of) {
  json fds = json::array();
  for (const UniqueFd& fd : held.fds) fds.push_back(word_of(fd.get()));
  return {{"id", id},
          {"mount_point", held.mount_point},
          {"state", held.state},
          {"fds", std::move(fds)},
          {"arena", word_of(held.arena.get())},
          {"kept", held.kept},
          {"served_by", held.served_by},
          {"connection", held.connection}};
}

Result<HeldMount> decode_held(const json& object, const TakeBy& take) {
  HeldMount held;
  held.mount_point = TRY(string_field(object, "mount_point", kPacketBytesMax));
  held.state = TRY(string_field(object, "state", kPacketBytesMax));
  const auto arena = object.find("arena");
  if (arena == object.end()) return Error(EPROTO, "supervisor_state", "arena");
  held.arena = TRY(take(*arena));
  held.kept = TRY(bool_field(object, "kept"));
  held.served_by = static_cast<uint64_t>(TRY(int_field(object, "served_by", 0, INT64_MAX)));
  // This field came later than the others.
  const Result<int64_t> connection = int_field(object, "connection", 0, UINT_MAX);
  if (connection.ok()) held.connection = static_cast<unsigned>(connection.value());
  const auto fds = object.find("fds");
  const bool is_list = fds != object.end() && fds->is_array() && fds->size() <= kPacketFdsMax;
  if (!is_list) return Error(EPROTO, "supervisor_state", "fds");
  for (const json& fd : *fds) held.fds.push_back(TRY(take(fd)));
  return held;
}

// What a mount's worker holds open at its origin.
json encode_descriptors(const HeldMount& held) {
  json list = json::array();
  for (const auto& [key, fd] : held.descriptors.all()) {
    list.push_back({{"key", key}, {"fd", fd.get()}});
  }
  return list;
}

Result<void> decode_descriptors(const json& object, HeldMount& held) {
  const auto kept = object.find("descriptors");
  const bool are_kept =
      kept != object.end() && kept->is_array() && kept->size() <= kHeldDescriptorsMax;
  if (!are_kept) return Error(EPROTO, "supervisor_state", "descriptors");
  for (const json& one : *kept) {
    const auto key = static_cast<uint64_t>(TRY(int_field(one, "key", 0, INT64_MAX)));
    held.descriptors.keep(key, TRY(fd_field(one, "fd")));
  }
  return {};
}

Result<void> check_version(const json& object) {
  const auto version = static_cast<uint64_t>(TRY(int_field(object, "version", 0, INT64_MAX)));
  if (version == kSupervisorStateVersion) return {};
  return Error(EPROTO, "supervisor_state", "version");
}

Result<json> held_list(const json& object) {
  const auto held = object.find("held");
  const bool is_list = held != object.end() && held->is_array() && held->size() <= kHeldMax;
  if (!is_list) return Error(EPROTO, "supervisor_state", "held");
  return *held;
}

Result<uint64_t> id_of(const json& held) {
  return static_cast<uint64_t>(TRY(int_field(held, "id", 0, INT64_MAX)));
}

json encode_names(const StoredNames& names) {
  json list = json::array();
  for (const auto& [name, one] : names) {
    list.push_back({{"name", name}, {"mount", one.mount}, {"fd", one.fd}});
  }
  return list;
}

// Without a service manager there are none; the field came later than the others.
Result<StoredNames> decode_names(const json& object) {
  StoredNames names;
  const auto list = object.find("stored");
  if (list == object.end()) return names;
  if (!list->is_array()) return Error(EPROTO, "supervisor_state", "stored");
  for (const json& one : *list) {
    StoredName& stored = names[TRY(string_field(one, "name", kPacketBytesMax))];
    stored.mount = static_cast<uint64_t>(TRY(int_field(one, "mount", 0, INT64_MAX)));
    stored.fd = static_cast<int>(TRY(int_field(one, "fd", -1, INT_MAX)));
  }
  return names;
}

}  // namespace

void HeldMount::take_arena(UniqueFd fd) {
  struct stat ours {};
  struct stat theirs {};
  const bool same = arena && ::fstat(arena.get(), &ours) == 0 && ::fstat(fd.get(), &theirs) == 0 &&
                    ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
  if (!same) arena = std::move(fd);
}

std::string encode(const SupervisorState& state) {
  json held = json::array();
  for (const auto& [id, one] : state.held) {
    held.push_back(encode_held(id, one, [](int fd) { return json(fd); }));
    held.back()["descriptors"] = encode_descriptors(one);
  }
  return dump_message(json{{"version", kSupervisorStateVersion},
                           {"listener", state.listener.get()},
                           {"settings", state.settings},
                           {"worker_version", state.worker_version},
                           {"lock", state.belongings.lock.get()},
                           {"lock_path", state.belongings.lock_path},
                           {"socket_path", state.belongings.socket_path},
                           {"log_path", state.belongings.log_path},
                           {"client", state.client},
                           {"worker", state.worker},
                           {"worker_socket", state.worker_socket.get()},
                           {"workers_started", state.workers_started},
                           {"exit_code", state.exit_code},
                           {"held", std::move(held)},
                           {"stored", encode_names(state.stored)}});
}

Result<SupervisorState> decode_supervisor_state(std::string_view text) {
  const json object = TRY(parse_message(text));
  TRY(check_version(object));
  SupervisorState state;
  state.listener = TRY(fd_field(object, "listener"));
  state.settings = TRY(string_field(object, "settings", kJsonBytesMax));
  state.worker_version = TRY(string_field(object, "worker_version", kPacketBytesMax));
  state.belongings.lock = TRY(fd_field(object, "lock"));
  state.belongings.lock_path = TRY(string_field(object, "lock_path", PATH_MAX));
  state.belongings.socket_path = TRY(string_field(object, "socket_path", PATH_MAX));
  state.belongings.log_path = TRY(string_field(object, "log_path", PATH_MAX));
  state.client = static_cast<pid_t>(TRY(int_field(object, "client", -1, INT_MAX)));
  state.worker = static_cast<pid_t>(TRY(int_field(object, "worker", -1, INT_MAX)));
  state.worker_socket = TRY(fd_field(object, "worker_socket"));
  state.workers_started =
      static_cast<uint64_t>(TRY(int_field(object, "workers_started", 0, INT64_MAX)));
  state.exit_code = static_cast<int>(TRY(int_field(object, "exit_code", 0, 255)));
  const json held = TRY(held_list(object));
  for (const json& one : held) {
    HeldMount& mount = state.held[TRY(id_of(one))];
    mount = TRY(decode_held(one, descriptor));
    TRY(decode_descriptors(one, mount));
  }
  state.stored = TRY(decode_names(object));
  return state;
}

std::string encode_stored(const MountsToStore& mounts,
                          const std::function<std::string(uint64_t mount, int fd)>& name_of) {
  json list = json::array();
  for (const auto& [id, one] : mounts.held) {
    if (!one.kept) continue;
    const WordOf word_of = [&, id = id](int fd) {
      return fd < 0 ? json("") : json(name_of(id, fd));
    };
    list.push_back(encode_held(id, one, word_of));
  }
  return dump_message(json{{"version", kSupervisorStateVersion},
                           {"settings", mounts.settings},
                           {"workers_started", mounts.workers_started},
                           {"held", std::move(list)}});
}

Result<StoredMounts> decode_stored(
    std::string_view text,
    const std::function<UniqueFd(uint64_t mount, const std::string& name)>& take) {
  const json object = TRY(parse_message(text));
  TRY(check_version(object));
  StoredMounts stored;
  stored.settings = TRY(string_field(object, "settings", kJsonBytesMax));
  stored.workers_started =
      static_cast<uint64_t>(TRY(int_field(object, "workers_started", 0, INT64_MAX)));
  const json held = TRY(held_list(object));
  for (const json& one : held) {
    const uint64_t id = TRY(id_of(one));
    Result<HeldMount> mount = decode_held(one, [&](const json& word) -> Result<UniqueFd> {
      if (!word.is_string()) return Error(EPROTO, "supervisor_state", "descriptor");
      const std::string name = word.get<std::string>();
      if (name.empty()) return UniqueFd();
      UniqueFd fd = take(id, name);
      if (!fd) return Error(EBADF, "supervisor_state", name);
      return fd;
    });
    if (mount.ok()) {
      stored.held[id] = std::move(mount).value();
    } else if (mount.is_error(EBADF)) {
      stored.lost.push_back(TRY(string_field(one, "mount_point", kPacketBytesMax)));
    } else {
      return mount.error();
    }
  }
  return stored;
}

std::vector<int> descriptors(const SupervisorState& state) {
  std::vector<int> all;
  const auto add = [&all](const UniqueFd& fd) {
    if (fd) all.push_back(fd.get());
  };
  add(state.listener);
  add(state.belongings.lock);
  add(state.worker_socket);
  for (const auto& [id, held] : state.held) {
    for (const UniqueFd& fd : held.fds) add(fd);
    add(held.arena);
    for (const auto& [key, fd] : held.descriptors.all()) add(fd);
  }
  return all;
}

}  // namespace netfs::daemon
