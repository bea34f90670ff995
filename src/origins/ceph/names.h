#pragma once
// Names: files by their paths, and what libcephfs says of them.
//
// Paths are walked name by name, through no symbolic link; where this client may, by what it knows
// of them already.  On the threads of Calls.

#include <string>

#include "netfs/attributes.h"
#include "origins/ceph/session.h"

namespace netfs::origins::ceph {

struct Found {
  Node node;
  NodeInfo info;
};
struct Place {
  Node directory;
  std::string name;
};

NodeInfo info_of(const struct ceph_statx& stx);

Result<Found> find(const Ref<Session>& session, const std::string& path);
// By the session of now.
Result<Found> find(const Ref<Sessions>& sessions, const std::string& path);
// The directory of a name; EBUSY of the root itself, which has none.
Result<Place> find_place(const Ref<Session>& session, const std::string& path);
Result<Place> find_place(const Ref<Sessions>& sessions, const std::string& path);
Result<Found> look_up(const Place& place);
Result<NodeInfo> look_at(const Node& node);

}  // namespace netfs::origins::ceph
