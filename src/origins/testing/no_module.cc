// A shared object for tests that is no module.

extern "C" __attribute__((visibility("default"))) int netfs_something_else() {
  return 1;
}
