#include "daemon/supervisor_state.h"

#include <climits>
#include <fcntl.h>

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

json encode_held(uint64_t id, const HeldMount& held) {
  json fds = json::array();
  for (const UniqueFd& fd : held.fds) fds.push_back(fd.get());
  json descriptors = json::array();
  for (const auto& [key, fd] : held.descriptors.all()) {
    descriptors.push_back({{"key", key}, {"fd", fd.get()}});
  }
  return {{"id", id},
          {"mount_point", held.mount_point},
          {"state", held.state},
          {"fds", std::move(fds)},
          {"arena", held.arena.get()},
          {"kept", held.kept},
          {"served_by", held.served_by},
          {"descriptors", std::move(descriptors)}};
}

Result<HeldMount> decode_held(const json& object) {
  HeldMount held;
  held.mount_point = TRY(string_field(object, "mount_point", kPacketBytesMax));
  held.state = TRY(string_field(object, "state", kPacketBytesMax));
  held.arena = TRY(fd_field(object, "arena"));
  held.kept = TRY(bool_field(object, "kept"));
  held.served_by = static_cast<uint64_t>(TRY(int_field(object, "served_by", 0, INT64_MAX)));
  const auto fds = object.find("fds");
  const bool is_list = fds != object.end() && fds->is_array() && fds->size() <= kPacketFdsMax;
  if (!is_list) return Error(EPROTO, "supervisor_state", "fds");
  for (const json& fd : *fds) held.fds.push_back(TRY(descriptor(fd)));
  const auto kept = object.find("descriptors");
  const bool are_kept =
      kept != object.end() && kept->is_array() && kept->size() <= kHeldDescriptorsMax;
  if (!are_kept) return Error(EPROTO, "supervisor_state", "descriptors");
  for (const json& one : *kept) {
    const auto key = static_cast<uint64_t>(TRY(int_field(one, "key", 0, INT64_MAX)));
    held.descriptors.keep(key, TRY(fd_field(one, "fd")));
  }
  return held;
}

}  // namespace

std::string encode(const SupervisorState& state) {
  json held = json::array();
  for (const auto& [id, one] : state.held) held.push_back(encode_held(id, one));
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
                           {"held", std::move(held)}});
}

Result<SupervisorState> decode_supervisor_state(std::string_view text) {
  const json object = TRY(parse_message(text));
  const auto version = static_cast<uint64_t>(TRY(int_field(object, "version", 0, INT64_MAX)));
  if (version != kSupervisorStateVersion) return Error(EPROTO, "supervisor_state", "version");
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
  const auto held = object.find("held");
  const bool is_list = held != object.end() && held->is_array() && held->size() <= kHeldMax;
  if (!is_list) return Error(EPROTO, "supervisor_state", "held");
  for (const json& one : *held) {
    const auto id = static_cast<uint64_t>(TRY(int_field(one, "id", 0, INT64_MAX)));
    state.held[id] = TRY(decode_held(one));
  }
  return state;
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
