// Saved graphs put together, as text, and in files.

#include "lockdep/saved_graph_file.h"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "lockdep/module_of.h"
#include "lockdep/saved_graph_sample.h"

namespace netfs::lockdep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SavedGraphFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "saved_graph_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = name + "/locks.graph";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  std::string folder_;
  std::string path_;
};

TEST_F(SavedGraphFile, EachRunAddsWhatItDidToTheFile) {
  write("");
  ASSERT_TRUE(add_to_saved_graph(path_, MUST(decode_saved_graph(first_half()))).ok());
  Process second(200);
  second.seed(encode(MUST(read_saved_graph(path_))));
  second.does("t2", 2, second.b, second.c);
  ASSERT_TRUE(add_to_saved_graph(path_, MUST(decode_saved_graph(second.saved()))).ok());
  const SavedGraph all = MUST(read_saved_graph(path_));
  EXPECT_EQ(all.edges.size(), 2U);
  EXPECT_EQ(all.runs.size(), 2U);
}

TEST_F(SavedGraphFile, ADamagedFileIsNamedAndStaysAsItIs) {
  write("lockdep-graph 1\nhalf");
  const Result<SavedGraph> graph = read_saved_graph(path_);
  ASSERT_TRUE(graph.is_error(EBADMSG));
  const std::string line = path_ + " is cut short or damaged: its checksum is not right";
  EXPECT_EQ(graph.error().message(), line);
  const Result<> added = add_to_saved_graph(path_, SavedGraph());
  ASSERT_TRUE(added.is_error(EBADMSG));
  EXPECT_EQ(added.error().message(), line);
  EXPECT_EQ(std::filesystem::file_size(path_), 20U);
}

TEST_F(SavedGraphFile, WhatCannotBeReadOrWrittenIsToldWithItsName) {
  EXPECT_TRUE(read_saved_graph(path_).is_error(ENOENT));
  EXPECT_TRUE(read_saved_graph(folder_).is_error(EINVAL));
  const std::string nowhere = folder_ + "/none/locks.graph";
  const Result<> wrote = write_saved_graph(nowhere, SavedGraph());
  ASSERT_TRUE(wrote.is_error(ENOENT));
  EXPECT_THAT(wrote.error().message(), HasSubstr(nowhere));
  EXPECT_TRUE(add_to_saved_graph(nowhere, SavedGraph()).is_error(ENOENT));
}

TEST_F(SavedGraphFile, APipeIsWrittenToAndStaysOne) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(add_to_saved_graph(path_, SavedGraph()).is_error(ENXIO)) << "nobody reads";
  const UniqueFd reader(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const std::string once = encode(SavedGraph());
  for (const auto write : {write_saved_graph, add_to_saved_graph}) {
    ASSERT_TRUE(write(path_, SavedGraph()).ok());
    std::string text(once.size() + 1, '\0');
    EXPECT_EQ(::read(reader.get(), text.data(), text.size()), static_cast<ssize_t>(once.size()));
    text.pop_back();
    EXPECT_EQ(text, once);
  }
  struct stat status {};
  EXPECT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));
  EXPECT_NE(::access((path_ + ".lock").c_str(), F_OK), 0);
}

TEST_F(SavedGraphFile, ALinkStaysOneAndTheFileBehindItKeepsItsRights) {
  const std::string link = folder_ + "/link";
  ASSERT_EQ(::symlink("locks.graph", link.c_str()), 0);
  for (const auto write : {write_saved_graph, add_to_saved_graph}) {
    ASSERT_TRUE(write(link, SavedGraph()).ok()) << "it leads nowhere at first";
    struct stat status {};
    ASSERT_EQ(::lstat(link.c_str(), &status), 0);
    EXPECT_TRUE(S_ISLNK(status.st_mode));
    EXPECT_TRUE(read_saved_graph(path_).ok());
    ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
    ASSERT_TRUE(write(link, SavedGraph()).ok());
    ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0640U);
    ASSERT_EQ(::unlink(path_.c_str()), 0);
  }
}

TEST(SavedGraphMerger, FilesOfTwoProcessesHaveTheWholeCircle) {
  Process second(200);
  second.context("idle", 0);
  second.does("t2", 2, second.b, second.a);
  SavedGraphMerger merger;
  merger.add(MUST(decode_saved_graph(first_half())));
  merger.add(MUST(decode_saved_graph(second.saved())));
  const SavedGraph all = MUST(decode_saved_graph(encode(merger.take())));
  EXPECT_EQ(all.runs.size(), 2U);
  EXPECT_EQ(all.classes.size(), 2U);
  World reader;
  reader.validator.seed(all);
  reader.validator.check_seeded();
  ASSERT_THAT(reader.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  const Report& report = reader.reports[0];
  EXPECT_TRUE(report.joined);
  EXPECT_NE(report.chain[0].run, report.chain[1].run);
  EXPECT_EQ(report.context.name, report.chain[0].context.name);
}

TEST(SavedGraphMerger, WhatManyRunsDoAlikeDoesNotGrow) {
  SavedGraphMerger merger;
  std::string once;
  for (int64_t process = 1; process <= 50; ++process) {
    Process run(process);
    run.context("idle", 0);
    run.does("t1", 1, run.a, run.b);
    run.does("t2", 2, run.b, run.c);
    const SavedGraph graph = MUST(decode_saved_graph(run.saved()));
    if (process == 1) once = encode(graph);
    merger.add(graph);
    merger.add(graph);
  }
  EXPECT_EQ(encode(merger.take()), once);
}

TEST(SavedGraphMerger, EveryStrengthOfADependencyIsKept) {
  SavedGraphMerger merger;
  for (int64_t process = 1; process <= 8; ++process) {
    Process run(process);
    run.context("idle", 0);
    const How held{.mode = process % 2 == 0 ? Mode::kWrite : Mode::kRead};
    const How taken{.mode = process > 6 ? Mode::kRecursiveRead : Mode::kWrite};
    run.context("t", static_cast<int>(process)).take(run.a, held).take(run.b, taken).drop_all();
    merger.add(MUST(decode_saved_graph(run.saved())));
  }
  const SavedGraph all = merger.take();
  ASSERT_EQ(all.edges.size(), 1U);
  EXPECT_EQ(all.edges[0].witnesses.size(), SavedGraph::kWitnessesMax);
  World reader;
  reader.validator.seed(all);
  EXPECT_EQ(reader.validator.edges().at(0).kinds, kSN | kEN | kER | kSR);
}

TEST(SavedGraphText, AnyByteChangedOrMissingIsFoundBeforeAnyIsBelieved) {
  const std::string text = first_half();
  EXPECT_EQ(encode(MUST(decode_saved_graph(text))), text);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(decode_saved_graph(damaged).ok()) << "byte " << i;
    EXPECT_FALSE(decode_saved_graph(std::string_view(text).substr(0, i)).ok()) << "cut at " << i;
  }
  EXPECT_FALSE(decode_saved_graph(text + "k a a 0 0 0 0\n").ok());
}

TEST(SavedGraphText, WhatIsRefusedIsToldInOneClearLine) {
  const auto message = [](std::string_view text) {
    const Result<SavedGraph> graph = decode_saved_graph(text);
    return graph.ok() ? std::string() : graph.error().message();
  };
  EXPECT_EQ(message(""), "is no saved lock graph");
  EXPECT_EQ(message("#!/bin/sh\n"), "is no saved lock graph");
  EXPECT_EQ(message("lockdep-graph 2\n"),
            "is a saved lock graph of version 2; this lockdep reads version 1");
  EXPECT_EQ(message("lockdep-graph 1\n"), "is cut short or damaged: its checksum is not right");
  for (const char* line :
       {"x 1", "k a", "k a a 8 0 0 0", "p 0 1", "e 0 1", "w 0", "g 0 -", "m %4 a", "m a  b",
        "m a b ", "c 0 a 1 1 0 0", "r a 99999999999999999999 1", "m", ""}) {
    const std::string body = std::string("lockdep-graph 1\n") + line + "\n";
    EXPECT_EQ(message(body + saved_graph_end(body)), "is damaged: line 2 makes no sense") << line;
  }
}

TEST(ModuleOf, CodeAndDataOfThisProgramHaveTheSameStablePlaceInEveryRun) {
  static int data;
  Module module;
  ASSERT_TRUE(module_of(reinterpret_cast<uintptr_t>(&data), module));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&site) - module.bias < 1'000'000'000U, true);
  char code[128];
  char more[128];
  ASSERT_NE(stable_place(site(1), code, sizeof code), 0U);
  ASSERT_NE(stable_place(reinterpret_cast<uintptr_t>(&data), more, sizeof more), 0U);
  const std::string of_code = code;
  const std::string of_data = more;
  EXPECT_EQ(of_code.substr(0, of_code.find('+')), of_data.substr(0, of_data.find('+')));
  EXPECT_NE(of_code, of_data);
  EXPECT_THAT(of_code, HasSubstr("+0x"));
  // Neither heap nor stack lies in a module, and a short buffer is not run over.
  EXPECT_EQ(stable_place(reinterpret_cast<uintptr_t>(code), more, sizeof more), 0U);
  const std::string before(code + 4);
  EXPECT_EQ(stable_place(site(1), code, 4), 3U);
  EXPECT_EQ(code + 4, before);
}

}  // namespace
}  // namespace netfs::lockdep
