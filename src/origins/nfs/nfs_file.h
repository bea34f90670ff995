#pragma once
// NfsFile: an open file is the server's handle of it; version 3 has no more of it than that, and
// who only reads by version 4 needs no more.

#include <cerrno>
#include <cstdint>
#include <utility>

#include "netfs/origin.h"
#include "origins/nfs/wire.h"

namespace netfs::origins::nfs {

// Told when a file that was written to is closed; it does not wait.
class OnClose {
 public:
  virtual ~OnClose() = default;
  virtual void closed(const Handle& handle) = 0;
};

// Why it is not opened.
inline Error not_regular(FileType type) {
  const int code = type == FileType::kDirectory ? EISDIR
                   : type == FileType::kSymlink ? ELOOP
                                                : EINVAL;
  return Error(code, "nfs.open");
}

class NfsFile final : public OriginFile {
 public:
  NfsFile(Handle handle, uint64_t fileid, OnClose* writer)
      : handle_(std::move(handle)), fileid_(fileid), writer_(writer) {}
  ~NfsFile() override {
    if (writer_ != nullptr) writer_->closed(handle_);
  }
  NfsFile(const NfsFile&) = delete;
  NfsFile& operator=(const NfsFile&) = delete;

  [[nodiscard]] const Handle& handle() const { return handle_; }
  [[nodiscard]] uint64_t fileid() const { return fileid_; }

 private:
  const Handle handle_;
  const uint64_t fileid_;
  OnClose* const writer_;  // null: opened for reading
};

}  // namespace netfs::origins::nfs
