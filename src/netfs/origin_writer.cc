#include "netfs/origin_writer.h"

#include <cerrno>

#include "netfs/origin.h"

namespace netfs {

Result<NodeInfo> OriginWriter::finish(const std::string& /*path*/, const NewNode& /*what*/,
                                      Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.finish");
}

Result<OpenedFile> OriginWriter::take_over(UniqueFd /*descriptor*/, Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.take_over");
}

Result<bool> OriginWriter::replace(const std::string& /*from*/, const std::string& /*to*/,
                                   const std::string& /*kept*/, Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.replace");
}

Result<OpenedFile> OriginWriter::create_nameless(const std::string& /*directory*/,
                                                 const NewNode& /*what*/, Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.create_nameless");
}

Result<uint64_t> OriginWriter::seek(const FileAt& /*file*/, SeekFor /*what*/, uint64_t /*offset*/,
                                    Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.seek");
}

Result<Copied> OriginWriter::copy(const FileAt& /*from*/, OriginFile& /*to*/,
                                  const Copying& /*what*/, Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.copy");
}

Result<std::string> OriginWriter::get_xattr(const FileAt& /*file*/, const std::string& /*name*/,
                                            Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.get_xattr");
}

Result<std::vector<std::string>> OriginWriter::list_xattrs(const FileAt& /*file*/,
                                                           Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.list_xattrs");
}

Result<Seen> OriginWriter::set_xattr(const FileAt& /*file*/, const std::string& /*name*/,
                                     const std::string& /*value*/, uint32_t /*flags*/,
                                     Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.set_xattr");
}

Result<Seen> OriginWriter::remove_xattr(const FileAt& /*file*/, const std::string& /*name*/,
                                        Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "origin.remove_xattr");
}

}  // namespace netfs
