// Goal: whatever the kernel may name is found by the process that takes an arena over.

#include <random>

#include "vfs/limits.h"
#include "vfs/testing/restore_fixture.h"

namespace netfs::vfs {
namespace {

TEST(SavedNode, ComesBackAsItWas) {
  SavedNode node{.node_id = 5, .parent_id = 1, .flags = SavedNode::kListed};
  const NodeInfo info = info_of(FileType::kRegular, std::string(kValidatorBytesMax, 'v'),
                                std::string(kIdentityBytesMax, 'i'));
  node.attributes = info.attributes;
  node.validator = info.validator;
  node.identity = info.identity;
  node.name = std::string(kNameBytesMax, 'n');
  const std::string bytes = encode(node);
  EXPECT_LE(bytes.size(), BytesArena::kBytesMax);
  const SavedNode back = MUST(decode_saved_node(bytes));
  EXPECT_EQ(back.node_id, 5U);
  EXPECT_EQ(back.parent_id, 1U);
  EXPECT_EQ(back.flags, SavedNode::kListed);
  EXPECT_EQ(back.attributes, node.attributes);
  EXPECT_EQ(back.validator, node.validator);
  EXPECT_EQ(back.validator.changed_at, node.validator.changed_at);
  EXPECT_EQ(back.identity, node.identity);
  EXPECT_EQ(back.name, node.name);
}

TEST(SavedNode, AnyBytesAreDecodedOrRefused) {
  const std::string good = encode(SavedNode{.node_id = 5, .name = "name"});
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_TRUE(decode_saved_node(good.substr(0, length)).is_error(EPROTO));
  }
  EXPECT_TRUE(decode_saved_node(good + "x").is_error(EPROTO));
  std::mt19937 random(1);
  unsigned refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (!decode_saved_node(bytes).ok()) ++refused;
  }
  EXPECT_GT(refused, 0U);
}

TEST_F(Restore, WhatTheKernelHasLookedUpIsFoundByItsNodeidAndItsName) {
  fuse::NodeId directory_id;
  fuse::NodeId file_id;
  uint64_t ino = 0;
  {
    sync::MutexLock lock(table->mutex);
    Node& directory = add(table->root(), "directory", info_of(FileType::kDirectory, "d", "2"));
    Node& file = add(directory, "file", info_of(FileType::kRegular, "1", "3"));
    add(directory, "never shown", info_of(FileType::kRegular, "1", "4"));
    table->add_lookup(file);
    directory_id = table->id(directory);
    file_id = table->id(file);
    ino = table->record(file).ino;
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->restored().nodes, 2U) << "with its directory, without which it has no path";
  EXPECT_EQ(table->restored().damaged, 0U);
  Node* file = table->find(file_id);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(InodeTable::path_of(*file), "directory/file");
  EXPECT_TRUE(InodeTable::is_current(*file));
  EXPECT_EQ(file->attributes, info_of(FileType::kRegular, "1").attributes);
  EXPECT_TRUE(file->doubted) << "nobody has asked the origin yet";
  EXPECT_EQ(table->record(*file).ino, ino);
  Node* directory = table->find(directory_id);
  ASSERT_NE(directory, nullptr);
  EXPECT_EQ(table->child(*directory, "file"), file);
  EXPECT_EQ(table->child(*directory, "never shown"), nullptr);
  // The kernel forgets what it has looked up once.
  table->set_absent(*directory, "file", kNow, graveyard);
  table->forget(file_id, 1, graveyard);
  EXPECT_EQ(table->find(file_id), nullptr);
}

TEST_F(Restore, ANewNodeHasNoNodeidThatWasEverGiven) {
  std::set<uint64_t> given;
  for (int process = 0; process < 3; ++process) {
    {
      sync::MutexLock lock(table->mutex);
      for (int i = 0; i < 100; ++i) {
        Node& node = add(table->root(), "file",
                         info_of(FileType::kRegular, std::to_string(process * 100 + i), "f"));
        table->add_lookup(node);
        const fuse::NodeId id = table->id(node);
        if (given.insert(id.value).second) continue;
        EXPECT_EQ(i, 0) << "only what was there may have its own again";
      }
    }
    succeed();
  }
}

TEST_F(Restore, AVersionThatWasReplacedIsKeptForWhoHasItOpenAndHasNoName) {
  fuse::NodeId old_id;
  fuse::HandleId handle;
  {
    sync::MutexLock lock(table->mutex);
    Node& old = add(table->root(), "file", info_of(FileType::kRegular, "1", "a"));
    old_id = table->id(old);
    table->add_lookup(old);
    handle = table->open_handle(old, OpenMode::kDaemon, graveyard);
    Node& now = add(table->root(), "file", info_of(FileType::kRegular, "2", "b"));
    table->add_lookup(now);
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  Node* old = table->find(old_id);
  ASSERT_NE(old, nullptr);
  EXPECT_FALSE(InodeTable::is_current(*old));
  ASSERT_NE(table->child(table->root(), "file"), nullptr);
  EXPECT_EQ(table->child(table->root(), "file")->validator.bytes, "2");
  ASSERT_NE(table->handle(handle), nullptr);
  EXPECT_EQ(table->handle(handle)->node, old);
  table->close_handle(handle, graveyard);
  table->forget(old_id, 1, graveyard);
  EXPECT_EQ(table->find(old_id), nullptr);
}

TEST_F(Restore, HandlesCountAndHandedOutFilesKeepTheirBackingId) {
  fuse::NodeId id;
  fuse::HandleId first;
  fuse::HandleId second;
  {
    sync::MutexLock lock(table->mutex);
    Node& node = add(table->root(), "file", info_of(FileType::kRegular, "1", "a"));
    id = table->id(node);
    first = table->open_handle(node, OpenMode::kHandedOut, graveyard);
    second = table->open_handle(node, OpenMode::kHandedOut, graveyard);
    const fuse::HandleId closed = table->open_handle(node, OpenMode::kHandedOut, graveyard);
    table->record(node).backing_id.set(31);
    table->close_handle(closed, graveyard);
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->handle_count(), 2U);
  const std::vector<fuse::BackingIds::Known> known = table->handed_out();
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known[0].node, id);
  EXPECT_EQ(known[0].id, 31);
  EXPECT_EQ(known[0].opens, 2U);
  table->close_handle(first, graveyard);
  EXPECT_EQ(table->record(*table->find(id)).opens, 1U);
  table->close_handle(second, graveyard);
  EXPECT_TRUE(table->handed_out().empty());
}

TEST_F(Restore, RenamesAndHiddenNamesAreWhereTheyWereLast) {
  fuse::NodeId moved;
  fuse::NodeId below;
  fuse::NodeId hidden;
  {
    sync::MutexLock lock(table->mutex);
    Node& a = add(table->root(), "a", info_of(FileType::kDirectory, "d", "a"));
    Node& b = add(table->root(), "b", info_of(FileType::kDirectory, "d", "b"));
    Node& inner = add(a, "inner", info_of(FileType::kDirectory, "d", "c"));
    Node& file = add(inner, "file", info_of(FileType::kRegular, "1", "d"));
    Node& gone = add(b, "gone", info_of(FileType::kRegular, "1", "e"));
    table->add_lookup(file);
    table->add_lookup(gone);
    moved = table->id(inner);
    below = table->id(file);
    hidden = table->id(gone);
    (void)table->rename(a, "inner", b, "outer", kNow, graveyard);
    table->hide(gone, ".netfs-hidden");
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  ASSERT_NE(table->find(below), nullptr);
  EXPECT_EQ(InodeTable::path_of(*table->find(below)), "b/outer/file");
  EXPECT_EQ(InodeTable::path_of(*table->find(moved)), "b/outer");
  ASSERT_NE(table->find(hidden), nullptr);
  EXPECT_TRUE(table->find(hidden)->hidden);
  EXPECT_FALSE(InodeTable::is_current(*table->find(hidden)));
  EXPECT_EQ(InodeTable::path_of(*table->find(hidden)), "b/.netfs-hidden");
  EXPECT_EQ(table->hidden_names(), std::vector<std::string>{".netfs-hidden"});
}

TEST_F(Restore, WhatWasLostIsToldOnceToEachWhoHasTheFileOpenForWriting) {
  fuse::HandleId writer;
  fuse::HandleId reader;
  fuse::HandleId other;
  {
    sync::MutexLock lock(table->mutex);
    Node& node = add(table->root(), "file", info_of(FileType::kRegular, "1", "a"));
    Node& clean = add(table->root(), "clean", info_of(FileType::kRegular, "1", "b"));
    reader = table->open_handle(node, OpenMode::kDaemon, graveyard);
    for (fuse::HandleId* handle : {&writer, &other}) {
      Node& of = handle == &writer ? node : clean;
      *handle = table->open_handle(of, OpenMode::kDaemon, graveyard);
      ++of.open_state().writers;
      table->set_writable(*handle);
    }
    table->note_lost(table->id(node), ENOSPC, /*by_us=*/false);
    EXPECT_EQ(table->take_lost(writer), 0) << "it hears of it from its file";
  }
  for (const bool told : {false, true}) {
    succeed();  // and whoever comes after him has not forgotten it
    sync::MutexLock lock(table->mutex);
    EXPECT_EQ(table->handle(writer)->node->open->writers, 1U);
    EXPECT_EQ(table->take_lost(reader), 0);
    EXPECT_EQ(table->take_lost(other), 0);
    EXPECT_EQ(table->take_lost(writer), ENOSPC) << "nor before it was said";
    EXPECT_EQ(table->take_lost(writer), 0);
    if (told) table->told(writer);
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->take_lost(writer), 0);
}

TEST_F(Restore, AHandleOfWhichTheModeIsMissingIsServedFromHere) {
  fuse::NodeId id;
  {
    sync::MutexLock lock(table->mutex);
    Node& node = add(table->root(), "file", info_of(FileType::kRegular, "1", "a"));
    id = table->id(node);
    (void)table->open_handle(node, OpenMode::kDaemon, graveyard);
    table->record(node).open_mode = static_cast<uint32_t>(OpenMode::kClosed);
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  (void)table->open_handle(*table->find(id), OpenMode::kDaemon, graveyard);
  EXPECT_EQ(table->record(*table->find(id)).opens, 2U);
}

TEST_F(Restore, ANewVersionHasTheNumberOfTheOldOne) {
  uint64_t ino = 0;
  {
    sync::MutexLock lock(table->mutex);
    for (const char* identity : {"a", ""}) {
      Node& node = add(table->root(), std::string("file") + identity,
                       info_of(FileType::kRegular, "1", identity));
      table->add_lookup(node);
      ino += table->record(node).ino;
    }
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  uint64_t now = 0;
  for (const char* identity : {"a", ""}) {
    Node& node = *table->child(table->root(), std::string("file") + identity);
    node.unseen = false;
    Node& next = add(table->root(), std::string("file") + identity,
                     info_of(FileType::kRegular, "2", identity));
    EXPECT_NE(&next, &node);
    now += table->record(next).ino;
  }
  EXPECT_EQ(now, ino);
  EXPECT_EQ(table->ino_collisions(), 0U);
}

TEST_F(Restore, WhatNobodyCanNameAnyMoreIsNotKept) {
  {
    sync::MutexLock lock(table->mutex);
    Node& node = add(table->root(), "file", info_of(FileType::kRegular, "1", "a"));
    table->add_lookup(node);
    table->add_lookup(node);
    table->remove_name(table->root(), "file", kNow, graveyard);
    table->record(node).lookups = 0;  // as one that was killed in forget() leaves it
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->node_count(), 1U);
}

TEST_F(Restore, WhatIsDamagedIsLeftOutAndTheRestIsWhole) {
  std::vector<fuse::NodeId> ids;
  {
    sync::MutexLock lock(table->mutex);
    for (int i = 0; i < 10; ++i) {
      Node& node = add(table->root(), std::to_string(i),
                       info_of(FileType::kRegular, "1", std::to_string(i)));
      table->add_lookup(node);
      ids.push_back(table->id(node));
    }
    // The bytes of one are another's.
    table->record(*table->find(ids[3])).saved = table->record(*table->find(ids[4])).saved;
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->restored().nodes, 9U);
  EXPECT_EQ(table->restored().damaged, 1U);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(table->find(ids[i]) != nullptr, i != 3) << i;
  }
}

TEST_F(Restore, AfterManyRandomChangesEverythingIsAsItWas) {
  std::mt19937 random(4);
  for (int process = 0; process < 20; ++process) {
    std::map<uint64_t, std::string> paths;
    {
      sync::MutexLock lock(table->mutex);
      for (int step = 0; step < 200; ++step) {
        Node& at = any_directory(random);
        const std::string which = name_by(random);
        switch (random() % 5) {
          case 0:
          case 1: {
            const bool directory = random() % 3 == 0;
            Node& made = add(at, which,
                             info_of(directory ? FileType::kDirectory : FileType::kRegular,
                                     std::to_string(step), std::to_string(random())));
            table->add_lookup(made);
            break;
          }
          case 2:
            if (Node* node = table->child(at, which)) table->add_lookup(*node);
            break;
          case 3:
            table->remove_name(at, which, kNow, graveyard);
            break;
          case 4: {
            Node& to = any_directory(random);
            Node* from = table->child(at, which);
            bool above = false;
            for (Node* up = &to; up != nullptr; up = up->parent) above |= up == from;
            if (from != nullptr && !above) {
              (void)table->rename(at, which, to, name_by(random), kNow, graveyard);
            }
            break;
          }
        }
      }
      for (const std::unique_ptr<Node>& node : table->all()) {
        if (node && table->record(*node).lookups > 0 && InodeTable::is_current(*node)) {
          paths[table->id(*node).value] = InodeTable::path_of(*node);
        }
      }
    }
    ASSERT_GT(paths.size(), 2U);
    succeed();
    sync::MutexLock lock(table->mutex);
    EXPECT_EQ(table->restored().damaged, 0U);
    for (const auto& [id, path] : paths) {
      Node* node = table->find(fuse::NodeId(id));
      ASSERT_NE(node, nullptr) << path;
      ASSERT_EQ(InodeTable::path_of(*node), path);
      ASSERT_TRUE(InodeTable::is_current(*node)) << path;
    }
  }
}

}  // namespace
}  // namespace netfs::vfs
