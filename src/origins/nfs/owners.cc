#include "origins/nfs/owners.h"

#include <cerrno>
#include <charconv>
#include <grp.h>
#include <pwd.h>
#include <utility>
#include <vector>

namespace netfs::origins::nfs {

namespace {

constexpr Duration kNumberKept = std::chrono::minutes(1);
constexpr size_t kNumbersMax = 10'000;
constexpr size_t kRecordMax = 1 << 20;  // of a group with all its members

// Calls get(buffer, length) with more room until there is enough.
template <class Get>
void with_room(Get get) {
  std::vector<char> room(1024);
  while (get(room.data(), room.size()) == ERANGE && room.size() < kRecordMax) {
    room.resize(room.size() * 2);
  }
}

uint32_t user_of(const std::string& name) {
  uint32_t number = Owners::kNobody;
  with_room([&](char* room, size_t length) {
    passwd record{};
    passwd* found = nullptr;
    const int failed = ::getpwnam_r(name.c_str(), &record, room, length, &found);
    if (found != nullptr) number = record.pw_uid;
    return failed;
  });
  return number;
}

uint32_t group_of(const std::string& name) {
  uint32_t number = Owners::kNobody;
  with_room([&](char* room, size_t length) {
    group record{};
    group* found = nullptr;
    const int failed = ::getgrnam_r(name.c_str(), &record, room, length, &found);
    if (found != nullptr) number = record.gr_gid;
    return failed;
  });
  return number;
}

}  // namespace

uint32_t Owners::number_of(const std::string& text, Names Owners::*kept, Look look) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    return number == UINT32_MAX ? kNobody : number;  // that is nobody's for certain
  }
  const std::string name = text.substr(0, text.find('@'));
  if (name.empty() || name.find('\0') != std::string::npos) return kNobody;
  const MonoTime now = Clock::system().now();
  {
    sync::MutexLock lock(mutex_);
    const Names& names = this->*kept;
    const auto found = names.find(name);
    if (found != names.end() && now < found->second.until) return found->second.number;
  }
  number = look(name);
  sync::MutexLock lock(mutex_);
  Names& names = this->*kept;
  if (names.size() >= kNumbersMax) names.clear();
  names.insert_or_assign(name, Kept{number, now + kNumberKept});
  return number;
}

uint32_t Owners::uid_of(const std::string& owner) {
  return number_of(owner, &Owners::users_, &user_of);
}

uint32_t Owners::gid_of(const std::string& group) {
  return number_of(group, &Owners::groups_, &group_of);
}

NodeInfo Owners::info_of(Shown shown) {
  shown.info.attributes.uid = uid_of(shown.owner);
  shown.info.attributes.gid = gid_of(shown.group);
  return std::move(shown.info);
}

}  // namespace netfs::origins::nfs
