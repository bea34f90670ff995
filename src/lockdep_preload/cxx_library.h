#pragma once
// What we stand before of the C++ library: operator new and the guards of statics.
//
// A program has such a library from its start, or it has none and a plugin of it may bring one, for
// itself alone.  What that library's functions are only the plugin's own search finds, so ours must
// not be found before: they are taken out of our table of symbols, and what such plugins do is not
// seen.  Once, in our constructor: to search later may wait for a thread that waits for us.

namespace netfs::lockdep_preload {

void find_cxx_library();

// Whether the program has one; by find_cxx_library().
bool find_operator_new();  // operator_new.cc
bool find_guards();        // once.cc

}  // namespace netfs::lockdep_preload
