#pragma once
// AskedAgain: a mount over a real folder's origin, asked by a pretended kernel, whose process dies
// in the middle of a change: it stops at the origin or with the answer in its hand, and what it has
// left by then in arena memory is all that the one after it gets.
//
//   begin_process();
//   const Answer answer = outlive(request, Death::kMade, "rename");

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "fuse/protocol_changes.h"
#include "origins/module_loader.h"
#include "tests/crash/stopping_origin.h"
#include "tests/support/temp_dir.h"
#include "vfs/arena_kinds.h"
#include "vfs/testing/copy_of.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {

using test::StoppingOrigin;
using At = StoppingOrigin::At;
namespace fs = std::filesystem;

template <class In>
std::string body_of(const In& in, const std::vector<std::string>& names) {
  std::string body(reinterpret_cast<const char*>(&in), sizeof in);
  for (const std::string& name : names) body += name + '\0';
  return body;
}

inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// Each name with its type, its number of names, and what it holds.
inline std::vector<std::string> describe(const std::string& root) {
  std::vector<std::string> all;
  for (const fs::directory_entry& one : fs::recursive_directory_iterator(root)) {
    const fs::file_status status = one.symlink_status();
    std::string line = one.path().lexically_relative(root).string();
    line += " " + std::to_string(static_cast<int>(status.type()));
    if (fs::is_regular_file(status)) {
      line += " " + std::to_string(one.hard_link_count()) + " " + text_of(one.path());
    }
    if (fs::is_symlink(status)) line += " " + fs::read_symlink(one.path()).string();
    all.push_back(line);
  }
  std::sort(all.begin(), all.end());
  return all;
}

struct Request {
  Opcode opcode{};
  NodeId node;
  std::string body;
};

// Who dies where.
enum class Death : uint8_t { kNone, kBefore, kMade, kAnswering, kSent };
inline constexpr Death kDeaths[] = {Death::kBefore, Death::kMade, Death::kAnswering, Death::kSent};
inline const char* name_of(Death death) {
  constexpr const char* kNames[] = {"nobody dies", "before it is made", "when it is made",
                                    "with the answer in hand",
                                    "when it is sent, and comes after the look for it"};
  return kNames[static_cast<int>(death)];
}

class AskedAgain : public MountFixture, public testing::WithParamInterface<StoppingOrigin::Kind> {
 protected:
  AskedAgain() { begin_tree(); }
  ~AskedAgain() override { end_process(); }
  Library& library() override { return *real_; }
  void close_library() override {
    if (real_) real_->close();
  }
  Origin& origin() override { return *stopping_; }

  // A tree of its own: some files and directories.
  void begin_tree() {
    end_process();
    left_ = nullptr;
    options_ = {};
    place_ = std::make_unique<test::TempDir>();
    tree_path_ = place_->make_dir("tree");
    for (const char* name : {"f", "g"}) put(at(name), std::string("text of ") + name);
    for (const char* name : {"d", "e"}) fs::create_directory(at(name));
    put(at("d/inner"), "inner");
    inner_ =
        origins::open_origin({.url = origins::Url::parse("file://" + tree_path_).value()}).value();
    stopping_ = std::make_unique<StoppingOrigin>(*inner_, GetParam());
  }
  [[nodiscard]] std::string at(const std::string& path) const { return tree_path_ + "/" + path; }

  void begin_process() {
    real_ = MUST(Library::create({.origin = *stopping_, .pool = pool_}));
    ++process_;
    Options options;
    options.write = Options::Write::kThrough;
    options.epoch = static_cast<uint16_t>(process_);
    options.hiding = {.client = 5, .process = process_};
    start(std::move(options));
  }
  void end_process() {
    end();
    real_.reset();
  }
  // As if it had died at the moment when it left that.
  void succeed_by(UniqueFd left, const std::function<void()>& meanwhile = {}) {
    stopping_->cut();
    end_process();
    if (meanwhile) meanwhile();
    stopping_->mend();
    left_ = MUST(ArenaMemory::adopt(std::move(left), InodeTable::kLayout));
    begin_process();
  }

  // As if what it left could not be taken over.
  void begin_without_what_was_left() {
    stopping_->cut();
    end_process();
    stopping_->mend();
    left_ = nullptr;
    left_is_lost_ = true;
    begin_process();
    left_is_lost_ = false;
  }
  // A bit of each record of a change that is under way.
  static void damage_intents(const UniqueFd& left) {
    const Ref<ArenaMemory> memory =
        MUST(ArenaMemory::adopt(UniqueFd(::dup(left.get())), InodeTable::kLayout));
    for (void* chunk : memory->chunks(arena_kind::kIntents)) {
      *static_cast<uint8_t*>(chunk) ^= 0x40;
    }
  }

  uint64_t send(const Request& request) {
    return kernel_->send(request.opcode, request.node, bytes(request));
  }
  Answer ask_again(uint64_t unique, const Request& request) {
    return await(kernel_->send_again(unique, request.opcode, request.node, bytes(request)));
  }
  static std::span<const std::byte> bytes(const Request& request) {
    return std::as_bytes(std::span(request.body.data(), request.body.size()));
  }

  // The answer to who asked; the process that served it at first may have died at `call`.
  Answer outlive(const Request& request, Death death, const std::string& call,
                 const std::function<void()>& meanwhile = {}) {
    if (death == Death::kNone) return await(send(request));
    uint64_t unique = 0;
    UniqueFd left = die(request, death, call, unique);
    succeed_by(std::move(left), meanwhile);
    if (death == Death::kSent) stopping_->come_twice();
    return ask_again(unique, request);
  }
  UniqueFd die(const Request& request, Death death, const std::string& call, uint64_t& unique) {
    UniqueFd left;
    if (death == Death::kAnswering) {
      kernel_->set_before_reply([&] {
        if (!left) left = copy_of(fs_->memory().fd());
      });
      unique = send(request);
      first_ = await(unique);
      kernel_->set_before_reply({});
      return left;
    }
    stopping_->stop_at(death == Death::kMade ? At::kMade : At::kBefore, call);
    unique = send(request);
    EXPECT_TRUE(stopping_->wait_stopped());
    return copy_of(fs_->memory().fd());
  }

  Request open_request(NodeId node, uint32_t flags) {
    return {Opcode::kOpen, node, body_of(proto::OpenIn{.flags = flags}, {})};
  }

  std::unique_ptr<test::TempDir> place_;
  std::string tree_path_;
  std::unique_ptr<Origin> inner_;
  std::unique_ptr<StoppingOrigin> stopping_;
  std::unique_ptr<Library> real_;
  Answer first_;  // what the dead one had in its hand
  uint32_t process_ = 0;
};

inline constexpr NodeId kRoot = fuse::kRootNode;

inline constexpr StoppingOrigin::Kind kLocal{.name = "local"};
inline constexpr StoppingOrigin::Kind kLikeNfs{.name = "like_nfs", .files_outlive_names = false};
inline constexpr StoppingOrigin::Kind kLikeSftp{
    .name = "like_sftp", .identities = false, .files_outlive_names = false};
inline std::string name_of_kind(const testing::TestParamInfo<StoppingOrigin::Kind>& info) {
  return info.param.name;
}

}  // namespace netfs::vfs
