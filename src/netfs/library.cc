#include "netfs/library.h"

#include <utility>

#include "netfs/library_core.h"
#include "netfs/offload.h"
#include "netfs/remote_file.h"
#include "netfs/tree_writer.h"

namespace netfs {

namespace {

// Two versions of a file share nothing; two openings of one version share everything.
std::string file_key(const FileVersion& version) {
  const std::string& name = version.identity.empty() ? version.path : version.identity;
  std::string key = std::to_string(name.size()) + ":" + name + version.validator.bytes;
  return key + ":" + std::to_string(version.size_bytes);
}

class LibraryImpl final : public Library {
 public:
  explicit LibraryImpl(Ref<LibraryCore> core) : core_(std::move(core)) {
    if (OriginWriter* writer = core_->options.origin.writer()) writer_.emplace(core_, *writer);
  }
  ~LibraryImpl() override { close(); }

  Result<Ref<File>> open(FileVersion version) override;
  void use_cache(Ref<Volume> volume, Offload& offload) override {
    core_->use_cache(std::move(volume), offload);
  }
  [[nodiscard]] TreeWriter* writer() override { return writer_ ? &*writer_ : nullptr; }
  void close() override;
  [[nodiscard]] uint64_t link_bytes() const override { return core_->link.link_bytes(); }
  [[nodiscard]] uint64_t memory_bytes() const override {
    return core_->options.pool.budget_bytes();
  }
  [[nodiscard]] const LibraryStats& stats() const override { return core_->stats; }
  [[nodiscard]] std::vector<LiveRequest> live_requests() const override;

 private:
  const Ref<LibraryCore> core_;
  std::optional<TreeWriter> writer_;
};

Result<Ref<File>> LibraryImpl::open(FileVersion version) {
  if (core_->closing) return Error(ECANCELED, "library.open");
  if (version.identity.empty()) version.identity = version.path;
  const std::string key = file_key(version);
  if (Ref<RemoteFile> file = core_->find_file(key)) return Ref<File>(file);
  Ref<Cookie> cookie;
  // What has no validator cannot be recognized later, so it is not kept; nor is there a cache for a
  // path of which it is about to forget what it has.
  Volume* volume = core_->volume();
  if (volume != nullptr && version.validator.strength != ValidatorStrength::kNone &&
      !core_->is_being_forgotten(version.path)) {
    Result<Ref<Cookie>> found = volume->lookup({.identity = version.identity,
                                                .path = version.path,
                                                .validator = version.validator,
                                                .size_bytes = version.size_bytes});
    // The cache never fails the user: without a cookie the file is read from the origin.
    if (found.ok()) {
      cookie = std::move(found).value();
      cookie->touch();
    } else {
      core_->stats.cache_failures.add();
    }
  }
  const std::string path = version.path;
  const bool kept = static_cast<bool>(cookie);
  auto made = make_ref<RemoteFile>(core_, key, std::move(version), std::move(cookie));
  Ref<RemoteFile> file = core_->enter_file(key, std::move(made));
  // Whoever has begun to forget the path since has not seen this file.
  if (kept && core_->is_being_forgotten(path)) file->supersede();
  return Ref<File>(std::move(file));
}

void LibraryImpl::close() {
  if (core_->closing.exchange(true)) return;
  core_->cancel_requests();
  if (writer_) writer_->give_up_all(Error(ECANCELED, "netfs.close"));
  core_->wait_for_subrequests(core_->deadline());
  core_->timers.stop();
  core_->opening.stop();
  core_->waiting.stop();
  core_->readers.stop();
  core_->cancel_requests();
  if (writer_) writer_->give_up_all(Error(ECANCELED, "netfs.close"));
}

std::vector<LiveRequest> LibraryImpl::live_requests() const {
  std::vector<LiveRequest> live;
  const MonoTime now = core_->now();
  for (const Ref<Request>& request : core_->requests.all()) {
    live.push_back({.id = request->id,
                    .path = request->path(),
                    .range = request->range,
                    .age = now - request->began,
                    .waits_for = request->what_it_waits_for()});
  }
  return live;
}

}  // namespace

Result<std::unique_ptr<Library>> Library::create(Options options) {
  if (static_cast<bool>(options.volume) != (options.offload != nullptr)) {
    return Error(EINVAL, "library.create", "a cache volume needs an offload, and the other way");
  }
  if (!options.origin.capabilities().range_reads) {
    return Error(ENOTSUP, "library.create",
                 "this origin cannot read parts of a file; netfs needs range reads");
  }
  return std::unique_ptr<Library>(
      std::make_unique<LibraryImpl>(make_ref<LibraryCore>(std::move(options))));
}

}  // namespace netfs
