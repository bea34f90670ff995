#include "lockdep/function_name.h"

#include <gtest/gtest.h>

namespace netfs::lockdep {
namespace {

TEST(FunctionName, MangledNamesLoseTheirTypes) {
  EXPECT_EQ(function_name("_ZN5netfs4Disk4readEm"), "netfs::Disk::read");
  EXPECT_EQ(function_name("_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_"), "std::move<int&>");
}

TEST(FunctionName, PlainNamesStayAsTheyAre) {
  EXPECT_EQ(function_name("pthread_mutex_lock"), "pthread_mutex_lock");
  EXPECT_EQ(function_name("qsort_r.part.0"), "qsort_r.part.0");
  EXPECT_EQ(function_name(""), "");
}

TEST(FunctionName, ParametersReturnTypesAndQualifiersAreCut) {
  const char* const cases[][2] = {
      {"main", "main"},
      {"f(int, char const*)", "f"},
      {"a::B::c(int) const", "a::B::c"},
      {"void run<int, (a::E)1>(std::function<void (int)>)", "run<int, (a::E)1>"},
      {"std::vector<int, std::allocator<int> > make<int>(int)", "make<int>"},
      {"(anonymous namespace)::f(int)", "(anonymous namespace)::f"},
      {"a::(anonymous namespace)::g(int)", "a::(anonymous namespace)::g"},
      {"a::f(int)::{lambda(int)#1}::operator()(int) const",
       "a::f(int)::{lambda(int)#1}::operator()"},
      {"a::f() const::{lambda()#2}::operator()() const", "a::f() const::{lambda()#2}::operator()"},
      {"operator new(unsigned long)", "operator new"},
      {"std::ostream& a::operator<< <int>(std::ostream&, int)", "a::operator<< <int>"},
      {"a::operator<(a::X, a::X)", "a::operator<"},
      {"a::X::operator bool() const", "a::X::operator bool"},
      {"a::my_operator(int)", "a::my_operator"},
      {"a::cooperator::f(int)", "a::cooperator::f"},
  };
  for (const auto& [given, wanted] : cases) EXPECT_EQ(without_types(given), wanted);
}

TEST(FunctionName, NamesOfCStayAsTheyAre) {
  for (const char* name : {"a", "b", "i", "main", "_Q"}) EXPECT_EQ(function_name(name), name);
}

TEST(FunctionName, BrokenNamesEndWithoutHarm) {
  for (const char* broken : {"(", ")", "f(", "<", ">>>", "operator", "a(b", "", " ", "operator("}) {
    EXPECT_LE(without_types(broken).size(), std::string_view(broken).size());
  }
}

}  // namespace
}  // namespace netfs::lockdep
