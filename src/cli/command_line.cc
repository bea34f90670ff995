#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/bwlimit_command.h"
#include "cli/cache_command.h"
#include "cli/mount_command.h"
#include "cli/origins_command.h"
#include "cli/status_command.h"
#include "cli/status_text.h"
#include "cli/sync_command.h"
#include "cli/umount_command.h"
#include "cli/upgrade_command.h"
#include "daemon/options.h"
#include "daemon/version.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kFooter =
    "Example:\n"
    "  netfs mount ann@example.org:data ~/data && ls ~/data && netfs umount ~/data\n"
    "\n"
    "Exit codes, as of mount(8): 0 done; 1 wrong usage or no permission; 2 out of memory or\n"
    "descriptors; 8 interrupted; 32 failed.\n"
    "\n"
    "Defaults are read from /etc/netfs/netfs.toml and ~/.config/netfs/netfs.toml: keys are the\n"
    "long flags of netfs mount, the table [origin] holds options of the origin.";

constexpr const char* kMountFooter =
    "URL: sftp://USER@HOST[:PORT]/PATH, USER@HOST:PATH, http://[USER@]HOST[:PORT]/PATH/, https:,\n"
    "nfs://HOST/EXPORT/PATH?version=3&nfsport=N&mountport=N, ceph://[ID@]FSNAME/PATH,\n"
    "file:///PATH.\n"
    "Every flag is also a word after -o, with '_' for '-': -o ro,allow_other,cache_dir=/c;\n"
    "what netfs does not know there is an option of the origin (sftp: identity=FILE,\n"
    "known_hosts=FILE, ...; http: login=NAME, password_file=FILE, bearer_file=FILE, netrc=FILE,\n"
    "cert=FILE, ca_cert=FILE, ...; nfs: version=3|4, nfsport=N, mountport=N, connections=N;\n"
    "ceph: conf=FILE, keyring=FILE, id=NAME).\n"
    "\n"
    "Example:\n"
    "  netfs mount sftp://ann@example.org/srv/data /mnt --metadata-ttl 1m -o known_hosts=kh\n"
    "\n"
    "fstab:\n"
    "  sftp://ann@example.org/srv /mnt fuse.netfs _netdev,nofail,identity=/root/.ssh/id 0 0";

constexpr const char* kSyncFooter = "Example:\n  netfs sync /mnt --timeout 5m";
constexpr const char* kBwlimitFooter =
    "Without RATE it is only shown.  It counts at once, also for what is under way, until it is "
    "set\n"
    "again or the mount ends; bytes of files count, names and attributes do not.\n"
    "\n"
    "Example:\n  netfs bwlimit /mnt 1M:10M\n  netfs bwlimit /mnt off";
constexpr const char* kOriginsFooter =
    "What a certain server can do less, netfs status says of its mount.\n"
    "\n"
    "Example:\n  netfs origins sftp\n  netfs origins --json | jq '.origins[].scheme'";
constexpr const char* kUpgradeFooter =
    "The mounts stay, and what is open in them: calls wait for a moment.  The program is asked "
    "first\n"
    "whether it can go on with what is there; one that is missing, broken or of other formats, or "
    "that\n"
    "dies in its first seconds, leaves the one that runs in its place: exit code 32.\n"
    "Mounts with --transport=ring cannot be handed over.\n"
    "\n"
    "Example:\n  apt install netfs && netfs upgrade";
constexpr const char* kUmountFooter =
    "What was written and is not at the origin when the mount has ended is told in one line: what\n"
    "waits for the next mount (--write=back, after 20 s or --timeout), and what was lost.  The\n"
    "exit code is 0 all the same.\n"
    "\n"
    "Example:\n  netfs umount /mnt";
constexpr const char* kStatusFooter =
    "Shows origin, transport, features and why one is off, hits, misses, bytes by source,\n"
    "stores, errors, latencies, requests in flight and what each waits for.\n"
    "\n"
    "With --dirty, of each mount that is written to: how many changes and bytes wait to be\n"
    "uploaded, how old the oldest is, why it waits if something is wrong, and how many conflicts\n"
    "there were and changes were set aside.  What a mount that is gone has left is not told.\n"
    "\n"
    "Example:\n  netfs status /mnt --json | jq .mounts[0].hits\n  netfs status --dirty";
constexpr const char* kCacheFooter =
    "Example:\n  netfs cache drop /mnt/big/file\n  netfs cache usage --cache-dir /var/cache/netfs";

// Flag rows that are true by default read best as --no-NAME.
std::string flag_names(std::string_view name) {
  if (name.substr(0, 3) == "no-") return fmt::format("--{}", name);
  const std::string_view letter = name == "foreground" ? "-f," : "";
  return fmt::format("{}--{},!--no-{}", letter, name, name);
}

void add_mount(CLI::App& app, MountArguments& arguments, bool& version_words) {
  CLI::App* mount = app.add_subcommand("mount", "mount a remote tree on a directory");
  mount->footer(kMountFooter);
  mount->add_option("URL", arguments.url, "the remote tree")->required();
  mount->add_option("DIR", arguments.mount_point, "an empty directory")->required();
  mount->add_option("-o", arguments.words, "options as for mount(8): ro,name=value,...")
      ->type_name("LIST")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  mount->add_option("--config", arguments.config_file, "this file of defaults, no other")
      ->type_name("FILE");
  for (const daemon::OptionRow& row : daemon::option_table()) {
    const std::string name(row.name);
    if (row.kind == daemon::OptionKind::kFlag) {
      mount
          ->add_flag_function(
              flag_names(name),
              [&arguments, name](int64_t count) {
                arguments.flags[name] = count > 0 ? "true" : "false";
              },
              std::string(row.help))
          ->group(std::string(row.group));
      continue;
    }
    mount
        ->add_option_function<std::string>(
            "--" + name,
            [&arguments, name](const std::string& value) { arguments.flags[name] = value; },
            std::string(row.help))
        ->type_name(std::string(row.metavar))
        ->group(std::string(row.group));
  }
  // What mount(8) adds when this command stands in for a helper.
  mount->add_flag("-n,-s,-v", version_words)->group("");
  mount->add_option_function<std::string>("-t,-N", [](const std::string&) {})->group("");
}

void add_cache(CLI::App& app, CacheArguments& arguments) {
  CLI::App* cache = app.add_subcommand("cache", "look into the cache, or empty it");
  cache->footer(kCacheFooter);
  cache->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, daemon::Verb verb) {
    CLI::App* command = cache->add_subcommand(name, help);
    command->footer(kCacheFooter);
    command->add_option("--cache-dir", arguments.cache_dir, "the cache directory")
        ->type_name("DIR");
    command->add_flag("--json", arguments.as_json, "as JSON");
    command->callback([&arguments, verb] { arguments.verb = verb; });
    return command;
  };
  add("list", "every file in the cache", daemon::Verb::kCacheList);
  add("usage", "how much is in the cache", daemon::Verb::kCacheUsage);
  CLI::App* drop = add("drop", "forget a file or folder", daemon::Verb::kCacheDrop);
  drop->add_option("PATH", arguments.path, "below a mount, or as netfs cache list shows it");
  drop->add_flag("--all", arguments.all, "forget everything");
}

void add_origins(CLI::App& app, OriginsArguments& arguments) {
  CLI::App* origins = app.add_subcommand("origins", "what can be mounted, and with which options");
  origins->footer(kOriginsFooter);
  origins->add_option("SCHEME", arguments.scheme, "only this one: sftp, http, ...");
  origins->add_option("--module-dir", arguments.module_directory, "where the modules lie")
      ->type_name("DIR");
  origins->add_flag("--json", arguments.as_json, "as JSON");
}

// `--flag,--no-flag{false}` is the parser's own way to say it.
class PlainNames final : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, is_positional);
    const std::string noise = "{false}";
    const size_t at = name.find(noise);
    return at == std::string::npos ? name : name.erase(at, noise.size());
  }
};

// One line that names the command, what is wrong with it, and where help is.
ExitCode wrong_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string command;
  int depth = 1;
  for (const CLI::App* at = &app; !at->get_subcommands().empty(); ++depth) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  std::string what = error.what();
  if (what == "A subcommand is required") {
    const bool wrong = argc > depth && argv[depth][0] != '-';
    what = wrong ? fmt::format("there is no command '{}'", argv[depth]) : "a command is missing";
  }
  for (char& c : what) {
    if (c == '\n') c = ' ';
  }
  std::fprintf(stderr, "netfs%s: %s; netfs%s --help says how\n", command.c_str(),
               printable(what).c_str(), command.c_str());
  return ExitCode::kUsage;
}

struct Arguments {
  MountArguments mount;
  CacheArguments cache;
  OriginsArguments origins;
  std::string target;
  std::string timeout;  // of sync
  std::string rate;     // of bwlimit
  std::string program;  // of upgrade
  bool lazy = false;
  bool as_json = false;
  bool dirty = false;
  bool ignored = false;
};

ExitCode run_parsed(const CLI::App& app, const Arguments& arguments) {
  if (app.got_subcommand("mount")) return run_mount(arguments.mount);
  if (app.got_subcommand("umount")) return run_umount(arguments.target, arguments.lazy);
  if (app.got_subcommand("sync")) return run_sync(arguments.target, arguments.timeout);
  if (app.got_subcommand("upgrade")) return run_upgrade(arguments.target, arguments.program);
  if (app.got_subcommand("bwlimit")) return run_bwlimit(arguments.target, arguments.rate);
  if (app.got_subcommand("origins")) return run_origins(arguments.origins);
  if (app.got_subcommand("status")) {
    return run_status(arguments.target, {.as_json = arguments.as_json, .dirty = arguments.dirty});
  }
  if (arguments.cache.verb == daemon::Verb::kCacheDrop &&
      arguments.cache.all != arguments.cache.path.empty()) {
    return complain("cache", Error(EINVAL, "options", "drop needs either a PATH or --all"));
  }
  return run_cache(arguments.cache);
}

}  // namespace

ExitCode run_command_line(int argc, char** argv) {
  CLI::App app("netfs mounts remote trees and reads them at local speed", "netfs");
  Arguments arguments;
  app.footer(kFooter);
  app.require_subcommand(1);
  app.formatter(std::make_shared<PlainNames>());
  app.set_version_flag("-V,--version", std::string("netfs ") + daemon::kVersion);
  add_mount(app, arguments.mount, arguments.ignored);
  CLI::App* umount = app.add_subcommand("umount", "unmount, and wait for the daemon's end of it");
  umount->footer(kUmountFooter);
  umount->add_option("TARGET", arguments.target, "mount point or URL")->required();
  umount->add_flag("-l,--lazy", arguments.lazy, "also while it is in use");
  CLI::App* sync = app.add_subcommand("sync", "wait until all that was written is uploaded");
  sync->footer(kSyncFooter);
  sync->add_option("TARGET", arguments.target, "mount point or URL")->required();
  sync->add_option("--timeout", arguments.timeout, "how long at most: 30s, 5m (default: for ever)")
      ->type_name("TIME");
  CLI::App* bwlimit = app.add_subcommand("bwlimit", "how fast a mount may send and fetch");
  bwlimit->footer(kBwlimitFooter);
  bwlimit->add_option("TARGET", arguments.target, "mount point or URL")->required();
  bwlimit->add_option("RATE", arguments.rate, "bytes a second: 10M, UP:DOWN such as 1M:10M, off");
  CLI::App* status = app.add_subcommand("status", "what is mounted, and how it goes");
  status->footer(kStatusFooter);
  status->add_option("TARGET", arguments.target, "only this mount point or URL");
  status->add_flag("--dirty", arguments.dirty, "only what the origin does not have yet, by mount");
  status->add_flag("--json", arguments.as_json, "as JSON");
  CLI::App* upgrade = app.add_subcommand("upgrade", "another netfs serves what is mounted");
  upgrade->footer(kUpgradeFooter);
  upgrade->add_option("TARGET", arguments.target, "only the daemon of this mount point or URL");
  upgrade->add_option("--to", arguments.program, "the program (default: this one)")
      ->type_name("FILE");
  add_cache(app, arguments.cache);
  add_origins(app, arguments.origins);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) {
      return wrong_usage(app, error, argc, argv);
    }
    app.exit(error);
    return ExitCode::kOk;
  }
  return run_parsed(app, arguments);
}

}  // namespace netfs::cli
