#pragma once
// LibraryStats and OffloadStats: what the library counts, for `netfs status`.
//
// Counters only grow; a gauge says so.  Kinds of work are counted as issued, done and failed.
// Thread-safe; a reader sees each value, not a consistent set of them.

#include <atomic>
#include <cstdint>

#include "telemetry/counter.h"
#include "telemetry/histogram.h"

namespace netfs {

struct LibraryStats {
  telemetry::Triplet reads;         // requests, as users asked them
  telemetry::Triplet cache_reads;   // slices read from the cache
  telemetry::Triplet origin_reads;  // subrequests to the origin
  telemetry::Triplet origin_opens;
  telemetry::Triplet writes;         // requests, as users asked them
  telemetry::Triplet origin_writes;  // subrequests to the origin
  telemetry::Triplet changes;        // of names and attributes, at the origin
  telemetry::Triplet confirmations;  // validators asked for because an outcome had none

  telemetry::Counter hits;    // requests that met no origin slice
  telemetry::Counter misses;  // the others

  // Bytes answered to readers, by source.
  telemetry::Counter bytes_zero;
  telemetry::Counter bytes_memory;  // filled blocks that the cache did not have yet
  telemetry::Counter bytes_cache;
  telemetry::Counter bytes_origin;  // downloaded for the request itself

  telemetry::Counter bytes_downloaded;  // readahead included
  telemetry::Counter bytes_written;     // of writes that were answered well
  telemetry::Counter bytes_uploaded;    // taken by the origin, what was sent twice included
  telemetry::Counter bytes_lost;        // answered, and could not be brought to the origin
  telemetry::Counter foreign_changes;   // others had changed a file between two changes of ours
  telemetry::Counter forgotten;         // paths of which the cache was told to forget everything
  telemetry::Counter retries;           // subrequests issued again
  telemetry::Counter short_reads;
  telemetry::Counter over_reads;      // more bytes than asked: refused
  telemetry::Counter timeouts;        // requests answered ETIMEDOUT by us
  telemetry::Counter stale;           // downloads of another version: thrown away
  telemetry::Counter cache_failures;  // cache slices read from the origin instead
  telemetry::Counter canceled;        // requests ended by close()

  telemetry::Counter readahead_bytes_issued;
  telemetry::Counter readahead_bytes_used;
  telemetry::Counter readahead_bytes_wasted;  // dropped before anybody read them
  telemetry::Counter readahead_held;          // windows cut because the disk lagged
  telemetry::Counter readahead_no_memory;     // windows cut because the budget was spent

  telemetry::Counter stores_racy;        // blocks not kept: fetched within a granule of the change
  telemetry::Counter stores_unverified;  // blocks not kept: no validator, or it was not confirmed

  std::atomic<uint64_t> subrequests_open{0};  // gauge: the origin has not terminated them
  std::atomic<uint64_t> bytes_dirty{0};       // gauge: answered, and not yet at the origin

  telemetry::LatencyHistogram hit_latency;
  telemetry::LatencyHistogram miss_latency;
  telemetry::LatencyHistogram write_latency;
  telemetry::LatencyHistogram origin_latency;  // of subrequests that read
};

struct OffloadStats {
  telemetry::Triplet stores;  // runs of blocks
  telemetry::Triplet commits;
  telemetry::Counter stored_bytes;
  telemetry::Counter dropped;  // stores dropped because the queue was full or canceled
  telemetry::Counter discards;
  telemetry::Counter forgets;
  std::atomic<uint64_t> queued_bytes{0};  // gauge
  telemetry::LatencyHistogram store_latency;
};

}  // namespace netfs
