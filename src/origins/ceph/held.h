#pragma once
// Held: a file to be worked on, by its handle or found by its path; what a call on a thread of
// Calls takes along of a FileAt, whose handle may be closed before the call ends.

#include <string>
#include <utility>

#include "netfs/origin_writer.h"
#include "origins/ceph/ceph_file.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

class Held {
 public:
  Held(Ref<Sessions> sessions, const FileAt& file)
      : sessions_(std::move(sessions)),
        path_(file.path),
        open_(file.open == nullptr ? nullptr : static_cast<CephFile*>(file.open)->handle()) {}

  // Valid as long as this is.
  Result<const Node*> node() {
    if (open_) {
      TRY(open_->usable());
      return &open_->node();
    }
    found_ = TRY(find(sessions_, path_)).node;
    return &found_;
  }
  // Null: by its path.
  [[nodiscard]] OpenHandle* open() const { return open_.get(); }

 private:
  Ref<Sessions> sessions_;
  std::string path_;
  Ref<OpenHandle> open_;
  Node found_;
};

}  // namespace netfs::origins::ceph
