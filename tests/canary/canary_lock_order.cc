// One bug: two threads take two locks in opposite orders.  They never hang here, because the second
// waits for the first to be done by a flag that the validator does not know; it must report them.
//
//   canary_lock_order FOLDER      where the report goes

#include <atomic>

#include "sync/lock_reports.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace {

using netfs::sync::LockClass;
using netfs::sync::Mutex;
using netfs::sync::MutexLock;
using netfs::sync::Thread;

constinit LockClass kFirst{"canary.first"};
constinit LockClass kSecond{"canary.second"};
Mutex first{kFirst};
Mutex second{kSecond};
std::atomic<bool> one_is_done{false};

}  // namespace

int main(int, char** arguments) {
  netfs::sync::set_lock_report_folder(arguments[1]);
  Thread one("canary-one", [] {
    {
      MutexLock outer(first);
      MutexLock inner(second);
    }
    one_is_done = true;
    one_is_done.notify_all();
  });
  Thread two("canary-two", [] {
    one_is_done.wait(false);
    MutexLock outer(second);
    MutexLock inner(first);
  });
  two.join();
  one.join();
  return 0;
}
