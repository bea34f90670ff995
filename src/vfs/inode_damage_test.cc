// Goal: what is damaged of what a process has left is nobody else's to the one that takes it over.

#include <array>
#include <bit>
#include <map>
#include <random>

#include "vfs/arena_kinds.h"
#include "vfs/testing/restore_fixture.h"

namespace netfs::vfs {
namespace {

class Damaged : public Restore {};

// Whichever bit it is: a handle is of the file that it was opened for, with what was handed out of
// it, or of none; and a node is what it was, or is gone.
TEST_F(Damaged, WhicheverBitIsAnotherNobodyHasAnothersFile) {
  std::mt19937 random(3);
  unsigned damaged = 0;
  for (int round = 0; round < 3000; ++round) {
    memory = ArenaMemory::create(InodeTable::kLayout).value();
    table = table_on(memory, counters, ++epoch);
    std::map<uint64_t, uint64_t> opened;
    std::map<uint64_t, int32_t> backed;
    std::map<uint64_t, uint64_t> numbers;
    {
      sync::MutexLock lock(table->mutex);
      for (int i = 0; i < 4; ++i) {
        Node& node = add(table->root(), "file" + std::to_string(i),
                         info_of(FileType::kRegular, "1", std::to_string(i)));
        table->add_lookup(node);
        table->record(node).backing_id.set(static_cast<uint32_t>(i + 1));
        const fuse::HandleId handle = table->open_handle(node, OpenMode::kHandedOut, graveyard);
        opened[handle.value] = table->id(node).value;
        backed[table->id(node).value] = i + 1;
        numbers[table->id(node).value] = table->record(node).ino;
      }
    }
    const std::array<uint8_t, 2> kinds = {arena_kind::kNodes, arena_kind::kHandles};
    auto* chunk = static_cast<uint8_t*>(memory->chunks(kinds.at(random() % 2)).at(0));
    chunk[random() % 320] ^= static_cast<uint8_t>(1U << random() % 8);
    succeed();
    sync::MutexLock lock(table->mutex);
    // Nor has who has another one lost his.
    size_t missing = 0;
    for (const auto& [id, node] : opened) {
      missing += table->handle(fuse::HandleId(id)) == nullptr ? 1 : 0;
    }
    ASSERT_LE(missing, 1U) << round;
    damaged += table->restored().damaged > 0 ? 1 : 0;
    for (const auto& [id, node] : opened) {
      const Handle* handle = table->handle(fuse::HandleId(id));
      if (handle == nullptr) continue;
      ASSERT_EQ(table->id(*handle->node).value, node) << round;
      ASSERT_EQ(table->record(*handle->node).ino, numbers[node]) << round;
    }
    for (const fuse::BackingIds::Known& one : table->handed_out()) {
      ASSERT_EQ(one.id, backed[one.node.value]) << round;
    }
    for (const auto& [id, node] : opened) table->close_handle(fuse::HandleId(id), graveyard);
  }
  EXPECT_GT(damaged, 500U);
}

TEST_F(Damaged, WhicheverBitOfTheRootsModeIsAnotherItIsOpened) {
  fuse::HandleId first;
  {
    sync::MutexLock lock(table->mutex);
    first = table->open_handle(table->root(), OpenMode::kDaemon, graveyard);
  }
  for (int bit = 0; bit < 32; ++bit) {
    {
      sync::MutexLock lock(table->mutex);
      table->record(table->root()).open_mode ^= 1U << bit;
    }
    succeed();
    sync::MutexLock lock(table->mutex);
    ASSERT_NE(table->handle(first), nullptr) << bit;
    const fuse::HandleId next = table->open_handle(table->root(), OpenMode::kDaemon, graveyard);
    EXPECT_EQ(table->record(table->root()).opens, 2U) << bit;
    table->close_handle(next, graveyard);
  }
}

// Who read on from nowhere would miss names, or see them twice.
TEST_F(Damaged, ADirectoryWhosePlaceIsNotKnownIsReadOnByNobody) {
  const auto handle_record = [&] {
    return static_cast<HandleRecord*>(memory->chunks(arena_kind::kHandles).at(0));
  };
  constexpr unsigned kNameBits = 40;
  for (unsigned bit = 0; bit < 64 + kNameBits; ++bit) {
    memory = ArenaMemory::create(InodeTable::kLayout).value();
    table = table_on(memory, counters, ++epoch);
    fuse::HandleId read;
    fuse::HandleId begun;
    {
      sync::MutexLock lock(table->mutex);
      read = table->open_handle(table->root(), OpenMode::kDaemon, graveyard);
      begun = table->open_handle(table->root(), OpenMode::kDaemon, graveyard);
      table->note_position(read, {.offset = 7, .names = {"some", "names"}});
      if (bit >= 64) {
        const BytesArena bytes(memory, arena_kind::kSavedBytes);
        const std::string_view names = bytes.get(handle_record()->position.get().value());
        const_cast<char&>(names[(bit - 64) / 8]) ^= static_cast<char>(1U << bit % 8);
      }
    }
    if (bit < 64) handle_record()->position.both ^= uint64_t{1} << bit;
    succeed();
    sync::MutexLock lock(table->mutex);
    EXPECT_EQ(table->handle(read), nullptr) << bit;
    EXPECT_NE(table->handle(begun), nullptr) << bit;
    EXPECT_EQ(table->restored().damaged, 1U) << bit;
  }
}

// One bit of where its bytes are may lead to those that it had before.
TEST_F(Damaged, ANodeIsNeverWhatItWasBefore) {
  unsigned gone = 0;
  for (int bit = 0; bit < 32; ++bit) {
    memory = ArenaMemory::create(InodeTable::kLayout).value();
    table = table_on(memory, counters, ++epoch);
    fuse::NodeId id;
    {
      sync::MutexLock lock(table->mutex);
      Node& node = add(table->root(), "old", info_of(FileType::kRegular, "1", "a"));
      table->add_lookup(node);
      id = table->id(node);
      const uint32_t before = table->record(node).saved;
      (void)table->rename(table->root(), "old", table->root(), "new", kNow, graveyard);
      ASSERT_EQ(std::popcount(before ^ table->record(node).saved), 1) << "else this tests nothing";
      table->record(node).saved ^= 1U << bit;
    }
    succeed();
    sync::MutexLock lock(table->mutex);
    const Node* node = table->find(id);
    gone += node == nullptr ? 1 : 0;
    if (node != nullptr) {
      EXPECT_EQ(node->name, "new") << bit;
    }
  }
  EXPECT_EQ(gone, 32U);
}

// The kernel has that handle's file open by its backing file, which nobody would know any more.
TEST_F(Damaged, AFileThatTheKernelReadsGoesWithAnyOfItsHandles) {
  std::array<fuse::NodeId, 3> ids;
  std::array<fuse::HandleId, 3> handles;
  {
    sync::MutexLock lock(table->mutex);
    for (int i = 0; i < 3; ++i) {
      Node& node = add(table->root(), "file" + std::to_string(i),
                       info_of(FileType::kRegular, "1", std::to_string(i)));
      table->add_lookup(node);
      ids.at(i) = table->id(node);
      const OpenMode mode = i == 0 ? OpenMode::kDaemon : OpenMode::kHandedOut;
      if (mode == OpenMode::kHandedOut) table->record(node).backing_id.set(i + 1);
      handles.at(i) = table->open_handle(node, mode, graveyard);
      (void)table->open_handle(node, mode, graveyard);
    }
    // As one leaves it that was killed before its handle was one: nobody has it.
    ++table->record(*table->find(ids[2])).opens;
  }
  succeed();
  {
    sync::MutexLock lock(table->mutex);
    EXPECT_EQ(table->handed_out().size(), 2U) << "all handles are whole";
  }
  auto* records = static_cast<HandleRecord*>(memory->chunks(arena_kind::kHandles).at(0));
  for (size_t i = 0; i < 6; ++i) {
    const uint64_t id = records[i].handle_id;
    if (id == handles[0].value || id == handles[1].value) records[i].unique ^= 4;
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_NE(table->find(ids[0]), nullptr) << "it is read from here";
  EXPECT_EQ(table->find(ids[1]), nullptr);
  EXPECT_EQ(table->child(table->root(), "file1"), nullptr) << "by its path it is made anew";
  ASSERT_EQ(table->handed_out().size(), 1U);
  EXPECT_EQ(table->handed_out()[0].node, ids[2]);
  EXPECT_EQ(table->handle(handles[0]), nullptr);
  EXPECT_NE(table->handle(handles[2]), nullptr);
}

}  // namespace
}  // namespace netfs::vfs
