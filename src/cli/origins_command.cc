#include "cli/origins_command.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/status_text.h"
#include "origins/module_loader.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kCommand = "origins";

// In the order of docs/origins.md's table.
struct Trait {
  const char* name;
  const char* text;
};

std::vector<Trait> traits_of(const origins::OriginTraits& traits) {
  return {{"on", traits.on},
          {"validator", traits.versions},
          {"identity", traits.identity},
          {"changes", traits.changes},
          {"locks", traits.locks}};
}

nlohmann::json to_json(const std::string& scheme, const origins::NetfsOriginModule& module) {
  nlohmann::json json{{"scheme", scheme}, {"version", module.version}};
  for (const Trait& trait : traits_of(module.traits)) json[trait.name] = trait.text;
  json["options"] = nlohmann::json::object();
  for (const char* const* entry = module.options; *entry != nullptr; entry += 2) {
    json["options"][entry[0]] = entry[1];
  }
  return json;
}

void print(const std::string& scheme, const origins::NetfsOriginModule& module) {
  std::printf("%s: (version %s)\n", scheme.c_str(), module.version);
  for (const Trait& trait : traits_of(module.traits)) {
    std::printf("  %-12s %s\n", trait.name, trait.text);
  }
  for (const char* const* entry = module.options; *entry != nullptr; entry += 2) {
    std::printf("  -o %s=  %s\n", entry[0], entry[1]);
  }
}

}  // namespace

ExitCode run_origins(const OriginsArguments& arguments) {
  const std::string directory = arguments.module_directory.empty()
                                    ? origins::default_module_directory()
                                    : absolute_path(arguments.module_directory);
  std::vector<std::string> schemes = origins::available_schemes(directory);
  if (!arguments.scheme.empty()) schemes = {arguments.scheme};
  if (schemes.empty()) {
    return complain(kCommand, Error(ENOENT, kCommand,
                                    fmt::format("no modules are in {}; --module-dir says where "
                                                "else",
                                                printable(directory))));
  }
  ExitCode worst = ExitCode::kOk;
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& scheme : schemes) {
    const Result<const origins::NetfsOriginModule*> module =
        origins::load_module(scheme, directory);
    if (!module.ok()) {
      worst = complain(kCommand, module.error());
    } else if (arguments.as_json) {
      all.push_back(to_json(scheme, *module.value()));
    } else {
      print(scheme, *module.value());
    }
  }
  if (arguments.as_json) {
    std::printf("%s\n",
                nlohmann::json{{"abi", origins::kOriginAbi}, {"origins", all}}.dump(2).c_str());
  }
  return worst;
}

}  // namespace netfs::cli
