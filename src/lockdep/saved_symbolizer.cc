#include "lockdep/saved_symbolizer.h"

namespace netfs::lockdep {

std::vector<Frame> SavedSymbolizer::resolve(uintptr_t return_address) {
  const uintptr_t index = return_address & ~kSavedPlace;
  if ((return_address & kSavedPlace) == 0 || index >= graph_.places.size()) {
    return live_.resolve(return_address);
  }
  const SavedGraph::Place& place = graph_.places[index];
  const SavedGraph::Module& module = graph_.modules[place.module];
  return files_.resolve({.path = module.path, .build_id = module.build_id}, place.offset);
}

}  // namespace netfs::lockdep
