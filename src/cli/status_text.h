#pragma once
// status_text: the status of a daemon, from its JSON, for people.  Pure.
//
// A field that is missing or of another type is left out.

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace netfs::cli {

std::string status_text(const nlohmann::json& owner);

// Of each mount that is written to, what the origin does not have yet: as {"mounts": [...]}, and
// for people, a line a mount.
nlohmann::json dirty_json(const nlohmann::json& owners);
std::string dirty_text(const nlohmann::json& dirty);

// A name from outside, with what a terminal would take as a command written as \xHH.
std::string printable(const std::string& text);

}  // namespace netfs::cli
