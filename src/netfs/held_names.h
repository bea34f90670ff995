#pragma once
// HeldNames: the record of a directory's names, checked and ready to be asked for one of them; and
// HeldRecords: the last of them that were asked, so that each look does not read and check a
// record.
//
//   const Ref<HeldNames> held = HeldNames::open(std::move(bytes), "dir");  // or null
//   if (std::optional<StoredName> one = held->find("name")) ...

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/ref.h"
#include "netfs/lock_classes.h"
#include "netfs/names_record.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

// Immutable; it has its bytes.
class HeldNames : public RefCounted<HeldNames> {
 public:
  // Null: no sound record of that directory.
  static Ref<HeldNames> open(std::string bytes, std::string_view path);

  [[nodiscard]] const NamesHead& head() const { return head_; }
  [[nodiscard]] uint32_t entries_crc() const { return entries_crc_; }
  [[nodiscard]] size_t count() const { return places_.size(); }
  // Whether of some of its names nothing is known but the name.
  [[nodiscard]] bool has_unknown() const { return has_unknown_; }
  // Decodes that one alone; of a name that is there twice the first.
  [[nodiscard]] std::optional<StoredName> find(std::string_view name) const;
  [[nodiscard]] size_t memory_bytes() const;

 private:
  // Sorted: an origin that picks its names for it makes no look slower than a walk over them.
  struct Place {
    uint32_t hash;
    uint32_t offset;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  std::string bytes_;
  NamesHead head_;
  std::vector<Place> places_;
  uint32_t entries_crc_ = 0;
  bool has_unknown_ = false;
};

// Lets go of those that were asked longest ago.  Thread-safe.
class HeldRecords {
 public:
  explicit HeldRecords(size_t bytes_max) : bytes_max_(bytes_max) {}
  // That of this version; one that is not here is made, by one for all who ask meanwhile.  Null:
  // that was in vain.
  Ref<HeldNames> get(const std::string& path, std::string_view version,
                     const std::function<Ref<HeldNames>()>& make);
  [[nodiscard]] size_t bytes();

 private:
  struct Held {
    std::string path;
    std::string version;
    Ref<HeldNames> names;
    size_t bytes;
  };
  using Order = std::list<Held>;  // asked last first
  Ref<HeldNames> find(const std::string& path, std::string_view version) REQUIRES(mutex_);
  void put(Held held, Order& gone) REQUIRES(mutex_);
  void take_out(Order::iterator at, Order& gone) REQUIRES(mutex_);

  const size_t bytes_max_;
  sync::Mutex mutex_{kHeldNamesLock};
  Order order_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Order::iterator> by_path_ GUARDED_BY(mutex_);
  std::unordered_set<std::string> making_ GUARDED_BY(mutex_);  // paths
  sync::CondVar made_;
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs
