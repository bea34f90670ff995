#pragma once
// ByPath: a change that is made by paths: on a worker, once it holds them (path_holds.h), with the
// paths that its names have then.  A file that is named by its node is there until it is over,
// although it has no name any more and is closed meanwhile.
//
//   ByPath::change(*this, {{parent, "name"}}, std::move(reply),
//                  [this](const Places& at, Pending& pending, Deadline until) { ... });

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vfs/file_system.h"
#include "vfs/opening.h"

namespace netfs::vfs {

using Places = std::vector<Place>;

class FileSystem::ByPath final : public RefCounted<FileSystem::ByPath> {
 public:
  // A name in a directory; or, without one, a node by the path it has, if it has any.
  struct Named {
    fuse::NodeId node;
    std::optional<std::string> name{};
  };
  enum class Moves : uint8_t { kNothing, kTheFirstToTheSecond };
  // `at`: of each that was named.
  using Made = UniqueFunction<void(const Places& at, Pending& pending, Deadline until)>;

  ByPath(FileSystem& of, std::vector<Named> named, Moves moves, fuse::Reply reply, Made made);

  static void change(FileSystem& of, std::vector<Named> named, fuse::Reply reply, Made made,
                     Moves moves = Moves::kNothing);
  // The same, begun by calling what it returns.
  static Settled later(FileSystem& of, std::vector<Named> named, fuse::Reply reply, Made made);
  // Somebody else has made the name meanwhile (EEXIST): it is not taken for absent any more.
  static void is_taken(FileSystem& of, const Place& place);

 private:
  void begin();
  void go_on(std::optional<PathHolds::Number> held);
  void refuse(int error);
  bool begin_openings();
  Result<Places> find();
  [[nodiscard]] PathHolds::Paths paths();
  void leave(PathHolds::Number held);
  void end(PathHolds::Number held);

  FileSystem& of_;
  const std::vector<Named> named_;
  const Moves moves_;
  const Ref<Pending> pending_;
  Made made_;
  Places places_;       // which it holds or waits for
  Deadline until_{};    // counted from when it was begun, whomever it waits for
  bool ended_ = false;  // it holds nothing any more
  std::vector<std::unique_ptr<Opening>> openings_;
};

}  // namespace netfs::vfs
