#include "journal/journaled_origin.h"

#include <algorithm>
#include <utility>

#include "journal/journaled_file.h"

namespace netfs::journal {

namespace {

OriginCapabilities capabilities_of(const Origin& inner) {
  OriginCapabilities made = inner.capabilities();
  made.identity = false;
  if (made.validator_strength == ValidatorStrength::kStrong) {
    made.validator_strength = ValidatorStrength::kWeak;  // ours are by our clock
  }
  return made;
}

// To what was there before a directory was listed.  What was known then is shown as it was: the
// listing may be older than what became of it since.  What was made since is looked at, if the
// origin has it already: the listing may have met half of it.
void add_made_since(std::map<std::string, Journal::ShownName>& names,
                    std::map<std::string, Journal::ShownName> now) {
  for (auto& [name, shown] : now) {
    if (!shown.glance) continue;
    const auto before = names.find(name);
    const bool is_known = before != names.end() && before->second.glance &&
                          before->second.glance->node == shown.glance->node;
    if (is_known) continue;
    shown.in_place = false;
    names.insert_or_assign(name, std::move(shown));
  }
}

}  // namespace

Result<std::unique_ptr<JournaledOrigin>> JournaledOrigin::open(JournalOptions options) {
  if (options.inner.writer() == nullptr) return Error(EROFS, "journal.open");
  const bool uploads = options.uploads;
  std::unique_ptr<Journal> journal = TRY(Journal::open(std::move(options)));
  std::unique_ptr<JournaledOrigin> origin(new JournaledOrigin(std::move(journal)));
  if (uploads) origin->uploader_ = std::make_unique<Uploader>(*origin->journal_);
  return origin;
}

JournaledOrigin::JournaledOrigin(std::unique_ptr<Journal> journal)
    : journal_(std::move(journal)),
      capabilities_(capabilities_of(journal_->inner())),
      writer_(*journal_),
      readers_({.name = "netfs-jread", .threads = 4}) {
  if (OriginLocks* inner = journal_->inner().locks()) locks_.emplace(*journal_, *inner);
}

JournaledOrigin::~JournaledOrigin() {
  uploader_.reset();
  readers_.stop();
}

Result<NodeInfo> JournaledOrigin::stat(const std::string& path, Deadline deadline) {
  return TRY(journal_->look(path, deadline)).info;
}

std::map<std::string, Journal::ShownName> JournaledOrigin::names_of(const std::string& path) {
  std::map<std::string, Journal::ShownName> names;
  const Result<Journal::Glance> glance = journal_->glance(path);
  if (!glance.ok()) return names;
  for (Journal::ShownName& name : journal_->names_in(glance.value().node)) {
    names.emplace(name.name, std::move(name));
  }
  return names;
}

// The origin's entries but those that are other here, and the rest; by name: who is killed in the
// middle of a listing is followed by one who goes on behind a name, and has more of it uploaded.
Result<void> JournaledOrigin::list(const std::string& path, Deadline deadline,
                                   const EntrySink& sink) {
  for (;;) {
    const Journal::Glance glance = TRY(journal_->glance(path));
    const bool is_other = glance.type_is_ours() && glance.state.type != FileType::kDirectory;
    if (is_other) return Error(ENOTDIR, "journal.list");
    std::map<std::string, Journal::ShownName> names = names_of(path);
    std::vector<OriginEntry> entries;
    if (glance.origin_path) {
      // Gathered first: an answer that does not stand must not be passed on.
      const Result<void> listed =
          journal_->inner().list(*glance.origin_path, deadline, [&](OriginEntry entry) {
            entries.push_back(std::move(entry));
            return Result<void>();
          });
      const Journal::Stands stand = TRY(journal_->stands(path, NodeId::kNone, glance, listed.code(),
                                                         deadline, Journal::Asked::kNames));
      if (stand == Journal::Stands::kNo) continue;
      TRY(listed);
      add_made_since(names, names_of(path));
    }
    std::vector<OriginEntry> all;
    all.reserve(entries.size() + names.size());
    for (OriginEntry& entry : entries) {
      entry.info.identity.clear();
      const auto known = names.find(entry.name);
      if (known != names.end()) {
        const Journal::ShownName& shown = known->second;
        if (!shown.glance || !shown.in_place) continue;
        entry.info = journal_->show(*shown.glance, &entry.info);
        names.erase(known);
      }
      all.push_back(std::move(entry));
    }
    for (const auto& [name, shown] : names) {
      if (!shown.glance) continue;
      OriginEntry entry{.name = name, .info = {}};
      const bool asks = shown.glance->state.asks_origin() && shown.glance->origin_path;
      if (asks) {
        const Result<Journal::Looked> looked =
            journal_->look(path.empty() ? name : path + "/" + name, deadline);
        if (looked.is_error(ENOENT)) continue;
        entry.info = TRY(looked).info;
      } else {
        entry.info = journal_->show(*shown.glance, nullptr);
      }
      all.push_back(std::move(entry));
    }
    std::sort(all.begin(), all.end(),
              [](const OriginEntry& a, const OriginEntry& b) { return a.name < b.name; });
    for (OriginEntry& entry : all) TRY(sink(std::move(entry)));
    return {};
  }
}

Result<std::string> JournaledOrigin::read_link(const std::string& path, Deadline deadline) {
  for (;;) {
    const Journal::Glance glance = TRY(journal_->glance(path));
    if (glance.type_is_ours()) {
      if (glance.state.type != FileType::kSymlink) return Error(EINVAL, "journal.read_link");
      if (!glance.state.target.empty()) return glance.state.target;
    }
    if (!glance.origin_path) return Error(ENOENT, "journal.read_link");
    Result<std::string> target = journal_->inner().read_link(*glance.origin_path, deadline);
    const Journal::Stands stand =
        TRY(journal_->stands(path, NodeId::kNone, glance, target.code(), deadline));
    if (stand == Journal::Stands::kYes) return target;
  }
}

Result<FileSystemStats> JournaledOrigin::stat_file_system(Deadline deadline) {
  return journal_->inner().stat_file_system(deadline);
}

Result<std::unique_ptr<OriginFile>> JournaledOrigin::open(const std::string& path,
                                                          Deadline deadline) {
  for (;;) {
    const Journal::Glance glance = TRY(journal_->glance(path));
    FileType type = FileType::kRegular;
    if (glance.type_is_ours()) {
      type = glance.state.type;
      if (glance.state.type == FileType::kDirectory) return Error(EISDIR, "journal.open");
      if (glance.state.type == FileType::kSymlink) return Error(ELOOP, "journal.open");
    }
    std::shared_ptr<OriginFile> inner;
    if (glance.origin_path) {
      Result<std::unique_ptr<OriginFile>> opened =
          journal_->inner().open(*glance.origin_path, deadline);
      const Journal::Stands stand =
          TRY(journal_->stands(path, NodeId::kNone, glance, opened.code(), deadline));
      if (stand == Journal::Stands::kNo) continue;
      inner = TRY(std::move(opened));
    }
    const NodeId node = journal_->open_node(path, glance, type, std::nullopt);
    if (node == NodeId::kNone) continue;
    return std::unique_ptr<OriginFile>(
        std::make_unique<JournaledFile>(*journal_, node, std::move(inner)));
  }
}

StatusFields JournaledOrigin::status() const {
  StatusFields fields = journal_->inner().status();
  const JournalStatus now = journal_->status();
  fields.emplace_back("changes to upload", std::to_string(now.pending));
  fields.emplace_back("bytes to upload", std::to_string(now.pending_bytes));
  if (now.pending > 0) {
    const int64_t age = journal_->now().seconds - now.oldest.seconds;
    fields.emplace_back("oldest change waits since", std::to_string(age) + " s");
  }
  fields.emplace_back("changes uploaded", std::to_string(now.uploaded));
  if (now.conflicts > 0) fields.emplace_back("conflicts", std::to_string(now.conflicts));
  if (now.set_aside > 0) fields.emplace_back("changes set aside", std::to_string(now.set_aside));
  if (!now.last_error.empty()) fields.emplace_back("upload waits", now.last_error);
  return fields;
}

}  // namespace netfs::journal
