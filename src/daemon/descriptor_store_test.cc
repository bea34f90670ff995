// Goal: what a service manager is told to keep is, after each thing that it is told, enough to go
// on with, and in the end no more.  Method: a socket in the manager's place.  The manager itself:
// tests/crash/service_test.cc.

#include "daemon/descriptor_store.h"

#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "daemon/testing/notify_socket.h"

namespace netfs::daemon {
namespace {

class KeptByManager : public testing::Test {
 protected:
  static UniqueFd some_file() {
    return UniqueFd(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  }
  static HeldMount some_mount(bool kept) {
    HeldMount mount{
        .mount_point = "/mnt", .state = "state", .fds = {}, .arena = some_file(), .kept = kept};
    mount.fds.push_back(some_file());
    mount.fds.push_back(some_file());
    return mount;
  }
  bool try_to_keep(DescriptorStore& store) { return store.keep({settings_, 3, held_}); }
  void keep(DescriptorStore& store) { EXPECT_TRUE(try_to_keep(store)); }
  // Does what it is told, as systemd does; false when there is no more.  From the first text on
  // there is always one that can be read.
  bool obey_once() {
    char bytes[512];
    iovec buffer{.iov_base = bytes, .iov_len = sizeof bytes};
    alignas(cmsghdr) char rights[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &buffer;
    message.msg_iovlen = 1;
    message.msg_control = rights;
    message.msg_controllen = sizeof rights;
    const ssize_t length = ::recvmsg(manager_.fd(), &message, MSG_CMSG_CLOEXEC);
    if (length < 0) return false;
    const std::string text(bytes, static_cast<size_t>(length));
    if (text == NotifySocket::kOfOthers) return true;
    const std::string name = text.substr(text.find("FDNAME=") + 7);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) {
      EXPECT_EQ(text, "FDSTOREREMOVE=1\nFDNAME=" + name);
      kept_.erase(name);
      return true;
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    const bool is_held = name.starts_with("netfs-held-");
    EXPECT_EQ(text, std::string("FDSTORE=1\n") + (is_held ? "FDPOLL=0\n" : "") + "FDNAME=" + name);
    UniqueFd one(fd);
    if (kept_.size() >= size_) return true;  // nobody hears of it
    // As systemd: what it has it keeps by the name that it has it by.
    for (const auto& [other, has] : kept_) {
      EXPECT_NE(other, name);
      if (is_same_file(has, one)) return true;
    }
    kept_[name] = std::move(one);
    return true;
  }
  void obey() {
    while (obey_once()) {
      if (said_once_) {
        EXPECT_TRUE(stored().ok()) << stored().error().message();
      }
    }
  }

  // By the newest text; what it names is looked at and stays.
  Result<StoredMounts> stored() {
    std::string newest;
    for (const auto& [name, fd] : kept_) {
      if (name.starts_with("netfs-text-")) newest = name;
    }
    if (newest.empty()) return Error(ENOENT, "test");
    std::string text(1 << 16, '\0');
    const ssize_t length = ::pread(kept_[newest].get(), text.data(), text.size(), 0);
    text.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
    return decode_stored(text, [&](uint64_t, const std::string& name) {
      const auto found = kept_.find(name);
      return found == kept_.end() ? UniqueFd() : UniqueFd(::dup(found->second.get()));
    });
  }
  static bool is_same_file(const UniqueFd& a, const UniqueFd& b) {
    struct stat of_a {};
    struct stat of_b {};
    return ::fstat(a.get(), &of_a) == 0 && ::fstat(b.get(), &of_b) == 0 &&
           of_a.st_ino == of_b.st_ino;
  }

  const std::string settings_ = "settings";
  NotifySocket manager_;
  std::map<std::string, UniqueFd> kept_;
  std::map<uint64_t, HeldMount> held_;
  bool said_once_ = false;
  size_t size_ = 1000;  // that is kept at most
};

TEST_F(KeptByManager, AreTheDescriptorsOfWhatIsServedAndATextThatNamesThem) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  held_[8] = some_mount(false);  // just being mounted
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  said_once_ = true;
  const Result<StoredMounts> found = stored();
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found.value().settings, settings_);
  EXPECT_EQ(found.value().workers_started, 3U);
  ASSERT_EQ(found.value().held.size(), 1U);
  const HeldMount& mount = found.value().held.at(7);
  EXPECT_EQ(mount.mount_point, "/mnt");
  EXPECT_EQ(mount.state, "state");
  EXPECT_TRUE(mount.kept);
  ASSERT_EQ(mount.fds.size(), 2U);
  EXPECT_TRUE(is_same_file(mount.fds[0], held_[7].fds[0]));
  EXPECT_TRUE(is_same_file(mount.fds[1], held_[7].fds[1]));
  EXPECT_TRUE(is_same_file(mount.arena, held_[7].arena));

  keep(store);
  EXPECT_FALSE(obey_once()) << "nothing has changed";
  held_[8].kept = true;
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 7U);
  held_.erase(7);
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  held_.clear();
  said_once_ = false;
  keep(store);
  obey();
  EXPECT_TRUE(kept_.empty());
}

// The same process as another program: it is told of the names, and keeps nothing twice.
TEST_F(KeptByManager, AreKnownToTheNextProgram) {
  DescriptorStore before;
  held_[7] = some_mount(true);
  keep(before);
  obey();
  DescriptorStore after(before.kept());
  said_once_ = true;
  keep(after);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  held_[9] = some_mount(true);
  keep(after);
  obey();
  EXPECT_EQ(kept_.size(), 7U);
  ASSERT_TRUE(stored().ok());
  EXPECT_EQ(stored().value().held.size(), 2U);
}

// Each worker says its arena anew: the same one, by another number.
TEST_F(KeptByManager, TheArenaThatIsSaidAgainIsKeptOn) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  keep(store);
  obey();
  said_once_ = true;
  held_[7].take_arena(UniqueFd(::dup(held_[7].arena.get())));
  held_[7].served_by = 2;
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  EXPECT_TRUE(is_same_file(stored().value().held.at(7).arena, held_[7].arena));
  held_[7].take_arena(some_file());
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  EXPECT_TRUE(is_same_file(stored().value().held.at(7).arena, held_[7].arena));
}

// Locks and files that live by a descriptor.
TEST_F(KeptByManager, SoIsWhatIsHeldForAWorkerAsLongAsItIs) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  held_[7].descriptors.keep(5, some_file());
  held_[7].descriptors.keep(6, some_file());
  keep(store);
  obey();
  const auto is_kept = [&](uint64_t key) {
    const auto found = kept_.find("netfs-held-7-" + std::to_string(key));
    if (found == kept_.end() || !held_[7].descriptors.has(key)) return false;
    return is_same_file(found->second, held_[7].descriptors.all().at(key));
  };
  EXPECT_EQ(kept_.size(), 6U);
  EXPECT_TRUE(is_kept(5) && is_kept(6));
  keep(store);
  EXPECT_FALSE(obey_once()) << "nothing has changed";
  held_[7].descriptors.drop(5);
  held_[7].descriptors.keep(6, some_file());  // in the place of the other
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 5U);
  EXPECT_TRUE(is_kept(6));

  DescriptorStore after(store.kept());
  keep(after);
  obey();
  EXPECT_EQ(kept_.size(), 5U) << "the next program is told of it";
  held_[7].descriptors.drop(6);
  keep(after);
  obey();
  EXPECT_EQ(kept_.size(), 4U);
  held_[7].descriptors.keep(8, some_file());
  keep(after);
  held_.clear();
  keep(after);
  obey();
  EXPECT_TRUE(kept_.empty()) << "it goes with its mount";
}

TEST_F(KeptByManager, WhatIsHeldLeavesRoomForMounts) {
  ::setenv("FDSTORE", "12", 1);
  DescriptorStore store;
  held_[7] = some_mount(true);
  for (uint64_t key = 0; key < 10; ++key) held_[7].descriptors.keep(key, some_file());
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U + 6U);
  held_[7].descriptors.drop(0);
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 4U + 6U);
  EXPECT_TRUE(kept_.contains("netfs-held-7-6")) << "by the next one that found none before";
}

// Of a store that is full it keeps nothing more, and says nothing: a mount whose text is not there
// is lost.
TEST_F(KeptByManager, WhatIsHeldMakesRoomForMounts) {
  size_ = 12;
  ::setenv("FDSTORE", "12", 1);
  DescriptorStore store;
  held_[7] = some_mount(true);
  for (uint64_t key = 0; key < 10; ++key) held_[7].descriptors.keep(key, some_file());
  keep(store);
  obey();
  said_once_ = true;
  held_[8] = some_mount(true);
  held_[9] = some_mount(true);
  keep(store);
  obey();
  EXPECT_EQ(stored().value().held.size(), 3U);
  EXPECT_EQ(kept_.size(), 3U * 3U + 1U + 1U) << "of ten one, and room for another text";
  held_[9].state = "another";
  keep(store);
  obey();
  EXPECT_EQ(stored().value().held.at(9).state, "another");
  held_.erase(8);
  keep(store);
  obey();
  keep(store);
  obey();
  EXPECT_EQ(kept_.size(), 2U * 3U + 1U + 4U) << "what was refused is tried again";
}

// A number is taken again at once by what is opened next.
TEST_F(KeptByManager, WhatIsHeldIsKnownByMoreThanItsNumber) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  held_[7].descriptors.keep(5, some_file());
  const int number = held_[7].descriptors.all().at(5).get();
  keep(store);
  obey();
  held_[7].descriptors.drop(5);
  held_[7].descriptors.keep(5, some_file());
  ASSERT_EQ(held_[7].descriptors.all().at(5).get(), number);
  keep(store);
  obey();
  EXPECT_TRUE(is_same_file(kept_.at("netfs-held-7-5"), held_[7].descriptors.all().at(5)));
}

TEST_F(KeptByManager, AMountThatIsNotAllThereIsLostAndNoOther) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  keep(store);
  obey();
  const std::map<std::string, UniqueFd> all = std::exchange(kept_, {});
  held_[8] = some_mount(true);
  held_[8].mount_point = "/other";
  keep(store);
  obey();
  const Result<StoredMounts> found = stored();
  ASSERT_TRUE(found.ok()) << found.error().message();
  ASSERT_EQ(found.value().held.size(), 1U);
  EXPECT_EQ(found.value().held.at(8).mount_point, "/other");
  EXPECT_EQ(found.value().lost, std::vector<std::string>{"/mnt"});
}

// It is told as much as it has room for, each time that it has read one; whenever we die then, what
// it has can be read.
TEST_F(KeptByManager, AManagerThatIsBusyIsToldTheRestLaterAndInItsOrder) {
  DescriptorStore store;
  held_[7] = some_mount(true);
  held_[7].descriptors.keep(5, some_file());
  keep(store);
  obey();
  said_once_ = true;
  manager_.make_busy();
  held_[7].descriptors.keep(6, some_file());
  EXPECT_FALSE(try_to_keep(store));
  held_[7].descriptors.drop(6);
  held_[7].descriptors.drop(5);
  EXPECT_FALSE(try_to_keep(store));
  held_[7].descriptors.keep(5, some_file());  // in the place of the other
  held_[7].descriptors.keep(8, some_file());
  held_[7].state = "another";
  held_[8] = some_mount(true);
  for (int read = 0; !try_to_keep(store); ++read) {
    ASSERT_LT(read, 100'000);
    ASSERT_TRUE(obey_once());
    ASSERT_FALSE(kept_.contains("netfs-held-7-6")) << "it went before it could be told";
    ASSERT_TRUE(stored().ok()) << stored().error().message();
  }
  obey();
  EXPECT_EQ(stored().value().held.size(), 2U);
  EXPECT_EQ(stored().value().held.at(7).state, "another");
  EXPECT_EQ(kept_.size(), 3U * 2U + 1U + 2U);
  EXPECT_TRUE(is_same_file(kept_.at("netfs-held-7-5"), held_[7].descriptors.all().at(5)));
  EXPECT_TRUE(is_same_file(kept_.at("netfs-held-7-8"), held_[7].descriptors.all().at(8)));
  held_.clear();
  said_once_ = false;
  store.finish({settings_, 3, held_});
  obey();
  EXPECT_TRUE(kept_.empty());
}

TEST_F(KeptByManager, NothingIsToldWhereNothingWouldBeKept) {
  ::unsetenv("FDSTORE");
  DescriptorStore store;
  held_[7] = some_mount(true);
  keep(store);
  EXPECT_FALSE(obey_once());
}

}  // namespace
}  // namespace netfs::daemon
