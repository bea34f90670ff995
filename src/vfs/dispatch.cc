// Which function answers which opcode: one table, by number.

#include <array>
#include <cerrno>

#include "fuse/wire.h"
#include "vfs/locking.h"

namespace netfs::vfs {

using fuse::Opcode;

struct Dispatch {
  using Function = void (FileSystem::*)(const fuse::Request&, fuse::Reply);
  using Table = std::array<Function, fuse::proto::kOpcodeLimit>;

  static constexpr Table make() {
    Table table{};
    table.fill(&FileSystem::refuse_unsupported);
    const auto set = [&table](Opcode opcode, Function function) {
      table[static_cast<size_t>(opcode)] = function;
    };
    set(Opcode::kLookup, &FileSystem::lookup);
    set(Opcode::kForget, &FileSystem::forget);
    set(Opcode::kBatchForget, &FileSystem::forget);
    set(Opcode::kGetattr, &FileSystem::get_attributes);
    set(Opcode::kStatx, &FileSystem::get_statx);
    set(Opcode::kOpen, &FileSystem::open);
    set(Opcode::kRelease, &FileSystem::release);
    set(Opcode::kRead, &FileSystem::read);
    set(Opcode::kOpendir, &FileSystem::open_directory);
    set(Opcode::kReaddir, &FileSystem::read_directory);
    set(Opcode::kReaddirplus, &FileSystem::read_directory);
    set(Opcode::kReleasedir, &FileSystem::release_directory);
    set(Opcode::kReadlink, &FileSystem::read_link);
    set(Opcode::kStatfs, &FileSystem::stat_file_system);
    set(Opcode::kAccess, &FileSystem::access);
    for (const Opcode making : {Opcode::kMknod, Opcode::kMkdir, Opcode::kSymlink}) {
      set(making, &FileSystem::make);
    }
    set(Opcode::kCreate, &FileSystem::create);
    set(Opcode::kUnlink, &FileSystem::remove);
    set(Opcode::kRmdir, &FileSystem::remove);
    set(Opcode::kRename, &FileSystem::rename);
    set(Opcode::kRename2, &FileSystem::rename);
    set(Opcode::kLink, &FileSystem::link);
    set(Opcode::kSetattr, &FileSystem::set_attributes);
    set(Opcode::kWrite, &FileSystem::write);
    set(Opcode::kFallocate, &FileSystem::allocate);
    for (const Opcode locking : {Opcode::kGetlk, Opcode::kSetlk, Opcode::kSetlkw}) {
      set(locking, &FileSystem::lock);
    }
    set(Opcode::kFlush, &FileSystem::flush);
    for (const Opcode syncing : {Opcode::kFsync, Opcode::kFsyncdir, Opcode::kSyncfs}) {
      set(syncing, &FileSystem::sync);
    }
    set(Opcode::kGetxattr, &FileSystem::get_xattr);
    set(Opcode::kListxattr, &FileSystem::list_xattrs);
    set(Opcode::kSetxattr, &FileSystem::change_xattr);
    set(Opcode::kRemovexattr, &FileSystem::change_xattr);
    set(Opcode::kCopyFileRange, &FileSystem::copy);
    set(Opcode::kCopyFileRange64, &FileSystem::copy);
    set(Opcode::kLseek, &FileSystem::seek);
    set(Opcode::kTmpfile, &FileSystem::create_nameless);
    set(Opcode::kIoctl, &FileSystem::refuse_ioctl);
    return table;
  }
};

namespace {
constexpr Dispatch::Table kDispatch = Dispatch::make();
}  // namespace

void FileSystem::handle(const fuse::Request& request, fuse::Reply reply) {
  const auto opcode = static_cast<size_t>(request.header.opcode);
  const Dispatch::Function function =
      opcode < kDispatch.size() ? kDispatch[opcode] : &FileSystem::refuse_unsupported;
  if (locking_ && locking_->refuses(request)) return reply.error(EIO);
  (this->*function)(request, std::move(reply));
}

}  // namespace netfs::vfs
