#pragma once
// control_socket: connections between the netfs command and a daemon.
//
// Both sides refuse a peer of another user (SO_PEERCRED).  A message may be longer than a packet:
// it travels in several, each beginning with '+' (more follow) or '.' (the last).  All waits are
// bounded.  Errors: as packet.h; EACCES for a peer of another user.
//
//   UniqueFd socket = TRY(connect_control(path));            // ECONNREFUSED, ENOENT: nobody there
//   TRY(send_message(socket.get(), encode(request), deadline));

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::daemon {

// Listens at `path`, replacing what is left of a socket there: the caller holds the owner's lock.
Result<UniqueFd> listen_control(const std::string& path);
// EAGAIN: nobody is waiting any more.
Result<UniqueFd> accept_control(int listener);
Result<UniqueFd> connect_control(const std::string& path);

Result<void> send_message(int socket, std::string_view text, Deadline deadline);
Result<std::string> receive_message(int socket, Deadline deadline);

}  // namespace netfs::daemon
