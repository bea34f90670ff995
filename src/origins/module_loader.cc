#include "origins/module_loader.h"

#include <algorithm>
#include <dlfcn.h>
#include <filesystem>
#include <map>
#include <spdlog/fmt/fmt.h>

#include "origins/lock_classes.h"
#include "sync/mutex.h"

namespace netfs::origins {

namespace {

constexpr const char* kPrefix = "libnetfs-origin-";
constexpr const char* kSuffix = ".so";

struct ModuleTable {
  sync::Mutex mutex{kModuleTableLock};
  std::map<std::string, const NetfsOriginModule*> loaded GUARDED_BY(mutex);  // by path
};

ModuleTable& module_table() {
  static ModuleTable table;
  return table;
}

std::string known_schemes(const std::string& directory) {
  std::string text;
  for (const std::string& scheme : available_schemes(directory)) {
    text += (text.empty() ? "" : ", ") + scheme;
  }
  return text.empty() ? fmt::format("none (no modules in {})", directory) : text;
}

Result<const NetfsOriginModule*> load_file(const std::string& path) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Error(ELIBBAD, "origin.load",
                 fmt::format("module {} does not load: {}", path, dlerror()));
  }
  using Entry = const NetfsOriginModule* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(handle, "netfs_origin_module"));
  if (entry == nullptr) {
    ::dlclose(handle);
    return Error(ELIBBAD, "origin.load",
                 fmt::format("{} is no origin module: it has no netfs_origin_module()", path));
  }
  const NetfsOriginModule* module = entry();
  if (module->abi != kOriginAbi) {
    const uint32_t abi = module->abi;
    ::dlclose(handle);
    return Error(
        EPROTO, "origin.load",
        fmt::format("module {} was built for ABI {}, this netfs has {}: install the module "
                    "of the same release",
                    path, abi, kOriginAbi));
  }
  return module;
}

Result<void> check_options(const NetfsOriginModule& module, const OriginOptions& options) {
  for (const auto& [name, value] : options) {
    bool known = false;
    std::string all;
    for (const char* const* entry = module.options; *entry != nullptr; entry += 2) {
      known = known || name == *entry;
      all += fmt::format("{}{}", all.empty() ? "" : ", ", *entry);
    }
    if (!known) {
      return Error(EINVAL, "origin.options",
                   fmt::format("unknown option '{}': netfs mount --help lists those of netfs, and "
                               "{}: has {}",
                               name, module.scheme, all.empty() ? "none of its own" : all));
    }
  }
  return {};
}

}  // namespace

std::string default_module_directory() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return (program.parent_path().parent_path() / "lib" / "netfs").string();
}

std::vector<std::string> available_schemes(const std::string& directory) {
  std::vector<std::string> schemes;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kSuffix)) {
      const size_t extra = std::string_view(kPrefix).size() + std::string_view(kSuffix).size();
      schemes.push_back(name.substr(std::string_view(kPrefix).size(), name.size() - extra));
    }
  }
  std::sort(schemes.begin(), schemes.end());
  return schemes;
}

Result<const NetfsOriginModule*> load_module(const std::string& scheme,
                                             const std::string& directory) {
  const std::string path = directory + "/" + kPrefix + scheme + kSuffix;
  ModuleTable& table = module_table();
  {
    sync::MutexLock lock(table.mutex);
    if (const auto found = table.loaded.find(path); found != table.loaded.end()) {
      return found->second;
    }
  }
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    // A scheme of the field whose module is not installed is another mistake than a typing error.
    static const char* const kKnown[] = {"file", "sftp", "http", "https", "nfs"};
    const bool ours = std::any_of(std::begin(kKnown), std::end(kKnown),
                                  [&](const char* known) { return scheme == known; });
    if (ours) {
      return Error(ENOENT, "origin.load",
                   fmt::format("the module for {}: is missing: {} (install it, or say where with "
                               "--module-dir)",
                               scheme, path));
    }
    return Error(
        EPROTONOSUPPORT, "origin.load",
        fmt::format("unknown scheme '{}'; known here: {}", scheme, known_schemes(directory)));
  }
  const NetfsOriginModule* module = TRY(load_file(path));
  sync::MutexLock lock(table.mutex);
  return table.loaded.emplace(path, module).first->second;
}

Result<std::unique_ptr<Origin>> open_origin(const OriginRequest& request,
                                            const std::string& module_directory) {
  const std::string directory =
      module_directory.empty() ? default_module_directory() : module_directory;
  const NetfsOriginModule* module = TRY(load_module(request.url.scheme, directory));
  TRY(check_options(*module, request.options));
  return module->open(request);
}

}  // namespace netfs::origins
