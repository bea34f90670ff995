#pragma once
// RealWork: shell scripts of programs that people use, at work on a writable mount.

#include <string>

#include "tests/mount/write_fixture.h"

namespace netfs::test {

class RealWork : public WritableMount {
 protected:
  void SetUp() override {
    WritableMount::SetUp();
    if (IsSkipped() || HasFailure()) return;
    mount_it({"--symlinks=as-is"});
  }

  // A shell's script; $M is the mount, $S the origin's folder, $L a local one.  `settle` is for
  // whoever looks at the origin after it.
  void sh(const std::string& script) {
    const std::string settle = is_back() ? netfs_binary() + " sync $M --timeout 100s" : "true";
    const std::string names = "set -eu; M='" + mount_->path() + "' S='" + source_ + "' L='" +
                              local_ + "'; settle() { " + settle + "; }; ";
    const Finished done = run({"bash", "-c", names + script}, kBound + run_time());
    ASSERT_EQ(done.status, 0) << script << "\n" << done.output << "\n" << mount_->log();
    output_ = done.output;
  }
  void mount_again() {
    sh("settle");
    ASSERT_TRUE(mount_->unmount()) << mount_->log();
    mount_.reset();
    mount_it({"--symlinks=as-is"});
  }
  // A tree with what trees have: folders, links, modes, old times, names of all kinds.
  void make_tree(int files) {
    sh("cd $L && mkdir tree && cd tree && for d in $(seq 0 " + std::to_string((files - 1) / 100) +
       "); do mkdir -p \"dir $d/below\"; for f in $(seq 1 100); do "
       "  n=$((d * 100 + f)); [ $n -le " +
       std::to_string(files) +
       " ] || break; "
       "  head -c $((n * 37 % 9000)) $L/bytes >\"dir $d/file-$n\"; done; done; "
       "ln -s 'dir 0/file-1' link; ln -s /nowhere/at/all dangling; ln 'dir 0/file-2' second; "
       "chmod 600 'dir 0/file-3'; chmod 4755 'dir 0/file-4'; chown 12:34 'dir 0/file-5'; "
       "touch -d '2001-02-03 04:05:06' 'dir 0/file-6' 'dir 0/below'; : >empty; "
       "touch $'new\\nline' -- -dash 'ä ö'; truncate -s 3M holes; "
       "printf tail >>holes; find . -type d -exec touch -d '2011-11-11 11:11:11' {} +");
  }

  // For a script that calls git.
  static std::string git() {
    return "export HOME=$L GIT_CONFIG_NOSYSTEM=1; git config --global user.email a@b.invalid; "
           "git config --global user.name a; git config --global init.defaultBranch main; "
           "git config --global safe.directory '*'; ";
  }

  const std::string local_ = [this] {
    std::string folder = temp_.make_dir("local");
    write_file(folder + "/bytes", pattern(7, 0, 9000));
    return folder;
  }();
  std::string output_;
};

}  // namespace netfs::test
