#pragma once
// Restore: a table in arena memory, and the ones after it that take that memory over.
//
//   ... add(table->root(), "file", info_of(FileType::kRegular, "1", "a")) ...
//   succeed();

#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "vfs/inode_table.h"

namespace netfs::vfs {

inline NodeInfo info_of(FileType type, const std::string& version,
                        const std::string& identity = {}) {
  NodeInfo info;
  info.attributes.type = type;
  info.attributes.permissions = 0640;
  info.attributes.size_bytes = 77;
  info.attributes.mtime = {.seconds = 1234, .nanoseconds = 5};
  info.validator = {.strength = ValidatorStrength::kWeak, .bytes = version, .changed_at = {9, 8}};
  info.identity = identity;
  return info;
}

class Restore : public testing::Test {
 protected:
  static std::unique_ptr<InodeTable> table_on(Ref<ArenaMemory> memory, Counters& counters,
                                              uint16_t epoch) {
    return std::make_unique<InodeTable>(std::move(memory), "volume",
                                        info_of(FileType::kDirectory, "root", "root"), epoch, kNow,
                                        counters, Options::Write::kThrough);
  }
  Node& add(Node& parent, std::string_view name, NodeInfo info) REQUIRES(table->mutex) {
    return table->adopt(parent, name, std::move(info), kNow, graveyard);
  }
  // A process after the one that `table` was of.
  void succeed() {
    UniqueFd fd(::dup(memory->fd()));
    table.reset();
    memory = MUST(ArenaMemory::adopt(std::move(fd), InodeTable::kLayout));
    table = table_on(memory, counters, ++epoch);
  }

  Node& any_directory(std::mt19937& random) REQUIRES(table->mutex) {
    Node* at = &table->root();
    for (int depth = random() % 3; depth > 0; --depth) {
      Node* next = table->child(*at, name_by(random));
      if (next == nullptr || !next->directory) break;
      at = next;
    }
    return *at;
  }
  static std::string name_by(std::mt19937& random) { return "n" + std::to_string(random() % 8); }

  static constexpr MonoTime kNow{std::chrono::hours(1)};
  Counters counters;
  Graveyard graveyard;
  uint16_t epoch = 9;
  Ref<ArenaMemory> memory = ArenaMemory::create(InodeTable::kLayout).value();
  std::unique_ptr<InodeTable> table = table_on(memory, counters, epoch);
};

}  // namespace netfs::vfs
