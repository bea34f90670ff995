# A room is one folder of src/ and one library; netfs_room() makes it and checks its arrows.

include_guard()

# Which floor each room stands on; a room may use rooms of lower floors only.
set(NETFS_FLOOR_base 1)
set(NETFS_FLOOR_lockdep 2)
set(NETFS_FLOOR_lockdep_preload 3)
set(NETFS_FLOOR_sync 3)
set(NETFS_FLOOR_lockdep_tool 4)
set(NETFS_FLOOR_telemetry 4)
set(NETFS_FLOOR_netfs 5)
set(NETFS_FLOOR_origins 6)
set(NETFS_FLOOR_cachefiles 6)
set(NETFS_FLOOR_fuse 6)
set(NETFS_FLOOR_journal 7)
set(NETFS_FLOOR_vfs 7)
set(NETFS_FLOOR_daemon 8)
set(NETFS_FLOOR_cli 9)

# Rooms whose tests ThreadSanitizer looks at; those below them are in all of these, and what is above
# them is the same threads at work.
set(NETFS_ROOMS_WITH_THREADS sync netfs cachefiles fuse journal vfs)

function(netfs_compiler_settings)
  add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                      -Wno-missing-field-initializers -fno-omit-frame-pointer)
  if(NETFS_WERROR)
    add_compile_options(-Werror)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    add_compile_options(-Wthread-safety)
  endif()
  # The product has no use for the validator's libraries.
  add_link_options(-Wl,--as-needed)
  if(NETFS_LOCKDEP)
    add_compile_definitions(NETFS_LOCKDEP)
  endif()
  if(NETFS_SANITIZE)
    add_compile_options(-fsanitize=${NETFS_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${NETFS_SANITIZE})
  endif()
  if(NETFS_FUZZ)
    # Wants ASan in NETFS_SANITIZE: its library also has the coverage hooks that programs which are
    # no fuzzers need.
    if(NOT NETFS_SANITIZE MATCHES address)
      message(FATAL_ERROR "NETFS_FUZZ wants NETFS_SANITIZE=address or address,undefined")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
  endif()
  find_program(NETFS_CCACHE ccache)
  if(NETFS_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${NETFS_CCACHE} PARENT_SCOPE)
  endif()
  find_package(Threads REQUIRED)
endfunction()

# netfs_use_precompiled(TARGET KIND): KIND is room or test.
#
# With NETFS_PCH the headers of the standard library and of GoogleTest are compiled once for all
# targets of a kind.  Test builds use it; the product's does not, so that a file that forgets an
# include is found there (and a header, by `tools/check headers`).  g++ 12 warns of the standard
# library's own code when that comes precompiled and is optimised: its validated build has NETFS_PCH
# for TESTS alone, which are not optimised.
function(netfs_use_precompiled target kind)
  if(NOT NETFS_PCH OR (NETFS_PCH STREQUAL "TESTS" AND NOT kind STREQUAL "test"))
    return()
  endif()
  # So that ccache can tell one precompiled header from another (with scripts/build's settings).
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    set(for_ccache "SHELL:-Xclang -fno-pch-timestamp")
  else()
    set(for_ccache -fpch-preprocess)
  endif()
  set(owner netfs_precompiled_${kind})
  if(NOT TARGET ${owner})
    file(WRITE ${CMAKE_BINARY_DIR}/${owner}.cc "// Nothing but its precompiled headers.\n")
    add_library(${owner} OBJECT ${CMAKE_BINARY_DIR}/${owner}.cc)
    set(headers <algorithm> <array> <atomic> <chrono> <cstring> <deque> <functional> <list> <map>
                <memory> <optional> <set> <span> <string> <string_view> <unordered_map> <utility>
                <variant> <vector>)
    if(kind STREQUAL "test")
      target_link_libraries(${owner} PRIVATE GTest::gtest GTest::gmock)
      target_compile_options(${owner} PRIVATE ${NETFS_TEST_FLAGS})
      list(APPEND headers <gtest/gtest.h> <gmock/gmock.h>)
    else()
      set_target_properties(${owner} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    endif()
    target_link_libraries(${owner} PRIVATE Threads::Threads)
    target_compile_options(${owner} PRIVATE ${for_ccache})
    target_precompile_headers(${owner} PRIVATE ${headers})
  endif()
  target_compile_options(${target} PRIVATE ${for_ccache})
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()

# netfs_test_program(TARGET): a program or library that is nothing but test code.
#
# Not optimised, and without lines for a debugger where the build is none for one: it is compiled far
# more often than its own code has work to do, and compiles in half the time.  What it tests is
# optimised, and has its lines, as in the rest of the build.
set(NETFS_TEST_FLAGS -O0 $<$<NOT:$<CONFIG:Debug>>:-g0>)
function(netfs_test_program target)
  target_compile_options(${target} PRIVATE ${NETFS_TEST_FLAGS})
  netfs_use_precompiled(${target} test)
endfunction()

# netfs_batches(TARGET): with NETFS_BATCHES the compiler is given a dozen files of the target at a time.
#
# Most of its time goes into headers that they share: a room is compiled in a third of it.  Test
# builds do so, and the product's does not: a file that leans on what the one before it includes, or
# is no longer good when alone, is found there.  So a name without linkage is unique in its room.
function(netfs_batches target)
  if(NETFS_BATCHES)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  endif()
endfunction()

# netfs_unit_test(TARGET TIMEOUT): the program is one entry of ctest with the label `unit`.
#
# The limit is against a hang, not for a time: sanitizers make some programs ten times as slow.
function(netfs_unit_test target timeout)
  add_test(NAME ${target} COMMAND ${target} ${ARGN})
  set_tests_properties(${target} PROPERTIES TIMEOUT ${timeout} LABELS unit)
  set_property(GLOBAL APPEND PROPERTY NETFS_SANITIZED ${target})
endfunction()

# netfs_fast_cases(TEST PLAIN SANITIZED [HAS_LONG]): which cases of an entry of ctest are fast tests.
#
# Both are filters of GoogleTest's, PLAIN for the validated build and SANITIZED for those of the
# sanitizers; NONE makes the program one of the long ones there.  All cases are in TEST_long, with the
# label `long`, unless the program HAS_LONG, an entry that has them all.  So each behaviour is looked
# at once whenever something is changed, over that kind of origin at which it is the hardest or the
# quickest to look at, and by all combinations of origin, server, way of writing and disk with
# `scripts/test --all`.
function(netfs_fast_cases test plain sanitized)
  set(filter ${plain})
  if(NETFS_SANITIZE)
    set(filter ${sanitized})
  endif()
  if(sanitized STREQUAL NONE)
    set_property(GLOBAL APPEND PROPERTY NETFS_UNSANITIZED ${test})
  endif()
  if(filter STREQUAL NONE)
    set_tests_properties(${test} PROPERTIES LABELS long)
    return()
  endif()
  if(filter STREQUAL "*")
    return()
  endif()
  set_tests_properties(${test} PROPERTIES ENVIRONMENT "GTEST_FILTER=${filter}")
  if(NOT "${ARGN}" STREQUAL HAS_LONG)
    add_test(NAME ${test}_long COMMAND ${test})
    set_tests_properties(${test}_long PROPERTIES TIMEOUT 7200 LABELS long)
  endif()
endfunction()

# Targets for builds that are made for their tests alone: sanitized_programs, what is not left out of
# them (netfs_fast_cases), and thread_programs, the tests of rooms that have threads of their own.
function(netfs_test_targets)
  get_property(left_out GLOBAL PROPERTY NETFS_UNSANITIZED)
  foreach(kind SANITIZED THREADED)
    get_property(programs GLOBAL PROPERTY NETFS_${kind})
    list(REMOVE_ITEM programs ${left_out})
    set(${kind} ${programs})
  endforeach()
  add_custom_target(sanitized_programs DEPENDS ${SANITIZED})
  add_custom_target(thread_programs DEPENDS ${THREADED})
endfunction()

# netfs_room(NAME SOURCES a.cc ... [USES rooms...] [LIBS libraries...] [TESTS a_test.cc ...]
#            [FUZZERS a_fuzz.cc ...] [BENCHES a_bench.cc ...])
#
# Target netfs_NAME.  Each test file is one executable, NAME_a_test, and one ctest entry; a fuzzer
# is built by clang with NETFS_FUZZ and else as a test that replays tests/corpus/a_fuzz/.
function(netfs_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LIBS;TESTS;FUZZERS;BENCHES" ${ARGN})
  add_library(netfs_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(netfs_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(netfs_${name} PUBLIC Threads::Threads ${ROOM_LIBS})
  set_target_properties(netfs_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  netfs_use_precompiled(netfs_${name} room)
  # The validator is compiled as it is shipped: what it tests is not only its source.  Commands have
  # names alike.
  if(NOT name MATCHES "^(lockdep|lockdep_preload|lockdep_tool|cli)$")
    netfs_batches(netfs_${name})
  endif()
  foreach(used ${ROOM_USES})
    if(NOT NETFS_FLOOR_${used} LESS NETFS_FLOOR_${name})
      message(FATAL_ERROR "room ${name} (floor ${NETFS_FLOOR_${name}}) may not use ${used} "
                          "(floor ${NETFS_FLOOR_${used}}): arrows go down only")
    endif()
    target_link_libraries(netfs_${name} PUBLIC netfs_${used})
  endforeach()
  if(NETFS_TESTS)
    foreach(test ${ROOM_TESTS})
      netfs_test(${name} ${test})
    endforeach()
  endif()
  foreach(fuzzer ${ROOM_FUZZERS})
    netfs_fuzzer(${name} ${fuzzer})
  endforeach()
  if(NETFS_BENCH)
    foreach(bench ${ROOM_BENCHES})
      netfs_bench(${name} ${bench})
    endforeach()
  endif()
endfunction()

function(netfs_test room file)
  get_filename_component(stem ${file} NAME_WE)
  set(target ${room}_${stem})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE netfs_${room} GTest::gtest GTest::gmock GTest::gtest_main)
  netfs_test_program(${target})
  netfs_unit_test(${target} 600)
  if(room IN_LIST NETFS_ROOMS_WITH_THREADS)
    set_property(TEST ${target} APPEND PROPERTY LABELS threads)
    set_property(GLOBAL APPEND PROPERTY NETFS_THREADED ${target})
  endif()
endfunction()

function(netfs_fuzzer room file)
  get_filename_component(stem ${file} NAME_WE)
  set(target ${room}_${stem})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/corpus/${stem})
  if(NOT IS_DIRECTORY ${corpus})
    message(FATAL_ERROR "${file} has no corpus: put a few real inputs into ${corpus}")
  endif()
  if(NETFS_FUZZ)
    add_executable(${target} ${file})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${target} PRIVATE netfs_${room})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${stem})
    # The same inputs in the same order each time: a change is judged by what it is, not by luck.
    add_test(NAME ${target}
             COMMAND ${target} -seed=1 -max_total_time=5 -rss_limit_mb=2048 -print_final_stats=0
                     ${CMAKE_BINARY_DIR}/corpus/${stem} ${corpus})
    set_tests_properties(${target} PROPERTIES TIMEOUT 120 LABELS fuzz)
    set_property(GLOBAL APPEND PROPERTY NETFS_SANITIZED ${target})
  elseif(NETFS_TESTS)
    add_executable(${target} ${file} ${CMAKE_SOURCE_DIR}/tests/corpus/replay_main.cc)
    target_link_libraries(${target} PRIVATE netfs_${room})
    netfs_unit_test(${target} 120 ${corpus})
  endif()
endfunction()

function(netfs_bench room file)
  get_filename_component(stem ${file} NAME_WE)
  set(target ${room}_${stem})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE netfs_${room} benchmark::benchmark benchmark::benchmark_main)
endfunction()

# netfs_origin_module(SCHEME SOURCES a.cc ... [LIBS libraries...] [ALSO schemes...])
#
# A module is a shared object in lib/netfs beside bin/.  It links none of the rooms: their symbols
# come from the program that loads it (netfs_host_program), so that there is one log, one table of
# contexts.  Schemes that it serves ALSO are links to it.
function(netfs_origin_module scheme)
  cmake_parse_arguments(MODULE "" "" "SOURCES;LIBS;ALSO" ${ARGN})
  add_library(netfs-origin-${scheme} MODULE ${MODULE_SOURCES})
  target_include_directories(netfs-origin-${scheme} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(netfs-origin-${scheme} PRIVATE ${MODULE_LIBS})
  netfs_batches(netfs-origin-${scheme})
  target_compile_definitions(netfs-origin-${scheme} PRIVATE
    $<TARGET_PROPERTY:spdlog::spdlog,INTERFACE_COMPILE_DEFINITIONS>)
  set_target_properties(netfs-origin-${scheme} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/netfs)
  install(TARGETS netfs-origin-${scheme} LIBRARY DESTINATION lib/netfs)
  foreach(also ${MODULE_ALSO})
    set(link ${CMAKE_BINARY_DIR}/lib/netfs/libnetfs-origin-${also}.so)
    add_custom_command(TARGET netfs-origin-${scheme} POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink libnetfs-origin-${scheme}.so ${link})
    install(FILES ${link} DESTINATION lib/netfs)
  endforeach()
endfunction()

# Makes `target` a program that can load origin modules: it exports the rooms' symbols, all of them.
function(netfs_host_program target)
  set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON)
  set(rooms base sync telemetry netfs origins)
  if(NETFS_LOCKDEP)
    list(APPEND rooms lockdep)
  endif()
  target_link_options(${target} PRIVATE -Wl,--whole-archive)
  foreach(room ${rooms})
    target_link_options(${target} PRIVATE $<TARGET_FILE:netfs_${room}>)
    add_dependencies(${target} netfs_${room})
  endforeach()
  target_link_options(${target} PRIVATE -Wl,--no-whole-archive)
  target_link_libraries(${target} PRIVATE netfs_origins)
  foreach(module ${NETFS_ORIGIN_MODULES})
    add_dependencies(${target} netfs-origin-${module})
  endforeach()
endfunction()
