#pragma once
// StoredNames: a mount whose names are kept in a cache in memory, for a process after it.
//
//   class X : public StoredNames {};
//   TEST_F(X, ...) { start(options); ...; restart(std::chrono::minutes(4)); ... }

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "netfs/names_store.h"
#include "netfs/offload.h"
#include "netfs/testing/memory_cache.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {

// Two clocks, of which one can be set.
class SetClock final : public Clock {
 public:
  [[nodiscard]] MonoTime now() const override { return time.now() - booted; }
  [[nodiscard]] Timestamp wall() const override {
    Timestamp shown = time.wall();
    shown.seconds += set_by.count();
    return shown;
  }
  ManualClock time;
  std::chrono::seconds set_by{0};
  Duration booted{};  // the machine, and with it began the one that cannot be set
};

// Calls back when it is asked whether there is room, once.
class WatchedVolume final : public Volume {
 public:
  explicit WatchedVolume(Ref<Volume> volume) : volume_(std::move(volume)) {}
  Result<Ref<Cookie>> lookup(CookieKey key) override { return volume_->lookup(std::move(key)); }
  Result<std::optional<CookieKey>> newest(const std::string& identity) override {
    ++looked_for;
    return volume_->newest(identity);
  }
  [[nodiscard]] bool has_room() const override {
    ++asks;
    if (at_room && !asked.exchange(true)) at_room();
    return volume_->has_room();
  }
  std::function<void()> at_room;
  std::atomic<uint64_t> looked_for{0};  // records of names
  mutable std::atomic<bool> asked{false};
  mutable std::atomic<uint64_t> asks{0};  // for room

 private:
  const Ref<Volume> volume_;
};

class StoredNames : public MountFixture {
 protected:
  StoredNames() { boot("first start"); }
  ~StoredNames() override {
    end();
    names_.reset();
    EXPECT_TRUE(offload_.close(patience()));
  }
  const Clock& clock() override { return time_; }
  NamesStore* names() override { return names_.get(); }
  static Deadline patience() { return Deadline::after(Clock::system(), std::chrono::minutes(1)); }

  void boot(const std::string& name) {
    volume_ = make_ref<WatchedVolume>(MUST(cache_.open_volume("v")));
    names_ = std::make_unique<NamesStore>(NamesStore::Parts{
        .volume = Ref<Volume>(volume_), .offload = offload_, .pool = pool_, .boot = name});
  }
  // The process ends, and so long later comes another.
  void restart(Duration later = std::chrono::seconds(1), const std::string& of_the_machine = "") {
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    if (!of_the_machine.empty()) boot(of_the_machine);
    if (!of_the_machine.empty()) time_.booted = time_.time.now().time_since_epoch();
    time_.time.advance(later);
    start(options_);
  }
  // Which listing the cache has of a directory; empty: none.  Another one is there once a listing
  // is over, which what the mount shows of it does not tell.
  [[nodiscard]] std::string stored_version(const std::string& path) {
    const auto newest = volume_->newest(std::string(kNamesIdentity) + path);
    return newest.ok() && newest.value() ? newest.value()->validator.bytes : std::string();
  }
  // Until the cache has another listing of a directory than `before`: what a mount lists is brought
  // there behind its answer.
  bool is_kept(const std::string& path, const std::string& before = {}) {
    const auto is_there = [&] {
      const std::string version = stored_version(path);
      return !version.empty() && version != before;
    };
    return wait_for(is_there) && offload_.drain(patience());
  }
  [[nodiscard]] uint64_t lists() { return origin_.counts().lists; }
  [[nodiscard]] uint64_t stats() { return origin_.counts().stats; }

  SetClock time_;
  MemoryCache cache_;
  Offload offload_{cache_.open_writer(), {.commit_interval = std::chrono::milliseconds(1)}};
  Ref<WatchedVolume> volume_;
  std::unique_ptr<NamesStore> names_;
};

}  // namespace netfs::vfs
