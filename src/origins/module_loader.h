#pragma once
// module_loader: from a URL's scheme to its origin.
//
// Modules are looked for in the directory given, else in ../lib/netfs beside the running program.
// A module, once loaded, stays.  Thread-safe.
//
//   auto origin = TRY(open_origin({.url = TRY(Url::parse(text)), .options = options}));
//
// Errors, each with a sentence for the user: EPROTONOSUPPORT unknown scheme (the known ones are
// named), ENOENT a module that is missing, ELIBBAD one that does not load or is no module,
// EPROTO one of another ABI, EINVAL an option it does not take; else what the module's open() says.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "origins/module.h"

namespace netfs::origins {

// Where modules lie: $program/../lib/netfs.
std::string default_module_directory();

Result<const NetfsOriginModule*> load_module(const std::string& scheme,
                                             const std::string& directory);

// Schemes for which a module file is there.
std::vector<std::string> available_schemes(const std::string& directory);

Result<std::unique_ptr<Origin>> open_origin(const OriginRequest& request,
                                            const std::string& module_directory = {});

}  // namespace netfs::origins
