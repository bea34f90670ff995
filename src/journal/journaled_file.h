#pragma once
// JournaledFile: an open file of a JournaledOrigin: a node that is held, and a handle of the inner
// origin if that has something of it.
//
// Thread-safe.

#include <memory>
#include <string>
#include <utility>

#include "journal/journal.h"
#include "netfs/origin.h"

namespace netfs::journal {

class JournaledFile final : public OriginFile {
 public:
  // `node` is held already.  `inner` reads, if it is not null.
  JournaledFile(Journal& journal, NodeId node, std::shared_ptr<OriginFile> inner)
      : journal_(journal), node_(node), inner_(std::move(inner)) {}
  ~JournaledFile() override { journal_.close_node(node_); }

  [[nodiscard]] NodeId node() const { return node_; }
  [[nodiscard]] const std::shared_ptr<OriginFile>& inner() const { return inner_; }

 private:
  Journal& journal_;
  const NodeId node_;
  const std::shared_ptr<OriginFile> inner_;
};

}  // namespace netfs::journal
