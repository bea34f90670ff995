// Goal: a hidden file that nobody has open any more is known until it has gone from the origin,
// whichever process has to see to that.

#include "vfs/arena_kinds.h"
#include "vfs/testing/restore_fixture.h"

namespace netfs::vfs {
namespace {

class RestoreHidden : public Restore {
 protected:
  // Hidden, and closed for the last time.
  void close_hidden() {
    sync::MutexLock lock(table->mutex);
    Node& directory = add(table->root(), "d", info_of(FileType::kDirectory, "d", "d"));
    Node& node = add(directory, "gone", info_of(FileType::kRegular, "1", "e"));
    id = table->id(node);
    handle = table->open_handle(node, OpenMode::kDaemon, graveyard);
    table->add_lookup(node);
    table->hide(node, ".netfs-hidden");
    table->close_handle(handle, graveyard);
    EXPECT_EQ(graveyard.leaving, std::vector<fuse::NodeId>{id});
  }
  fuse::NodeId id;
  fuse::HandleId handle;
};

TEST_F(RestoreHidden, OneThatNobodyHasOpenIsKnownUntilTheOriginHasTakenItsName) {
  close_hidden();
  {
    sync::MutexLock lock(table->mutex);
    table->forget(id, 1, graveyard);
  }
  for (int process = 0; process < 2; ++process) {
    succeed();
    sync::MutexLock lock(table->mutex);
    const Node* node = table->find(id);
    ASSERT_NE(node, nullptr);
    EXPECT_FALSE(node->hidden) << "else it could be opened";
    EXPECT_EQ(InodeTable::path_of(*node), "d/.netfs-hidden");
    EXPECT_EQ(table->leaving_before(), std::vector<fuse::NodeId>{id});
  }
  {
    sync::MutexLock lock(table->mutex);
    table->has_left(id, graveyard);
    EXPECT_EQ(table->find(id), nullptr);
  }
  succeed();
  sync::MutexLock lock(table->mutex);
  EXPECT_EQ(table->find(id), nullptr);
  EXPECT_TRUE(table->leaving_before().empty());
}

// Who closed it died when he had said that it is leaving, and was about to take the handle away.
TEST_F(RestoreHidden, OneWhoseLastHandleIsThereIsHiddenUntilThatIsClosed) {
  close_hidden();
  static_cast<HandleRecord*>(memory->chunks(arena_kind::kHandles).at(0))->handle_id = handle.value;
  graveyard.leaving.clear();
  succeed();
  sync::MutexLock lock(table->mutex);
  ASSERT_NE(table->find(id), nullptr);
  EXPECT_TRUE(table->find(id)->hidden);
  EXPECT_EQ(table->hidden_names(), std::vector<std::string>{".netfs-hidden"});
  EXPECT_TRUE(table->leaving_before().empty());
  table->close_handle(handle, graveyard);
  EXPECT_EQ(graveyard.leaving, std::vector<fuse::NodeId>{id});
}

}  // namespace
}  // namespace netfs::vfs
