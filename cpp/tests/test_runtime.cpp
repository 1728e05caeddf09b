#include "lamina/runtime.h"

#include <gtest/gtest.h>

#include <string>

#include "lamina/cpu.h"
#include "lamina/types.h"

namespace {

TEST(Runtime, TheLoadedLevelFitsTheCpu) {
  EXPECT_LE(lamina::isa_level(), lamina::cpu_level());
  const std::string isa = lamina::isa();
  EXPECT_EQ(isa, lamina::isa_level() == 0 ? "generic" : "v" + std::to_string(lamina::isa_level()));
}

TEST(Runtime, NamesWhatItWasBuiltWith) {
  EXPECT_EQ(std::string(lamina::version()).find_first_not_of("0123456789."), std::string::npos);
  EXPECT_NE(std::string(lamina::compiler()), "unknown");
  EXPECT_EQ(std::string(lamina::eigen_version()).front(), '3');
  EXPECT_EQ(std::string(lamina::openmp_runtime()).rfind("lib", 0), 0u);
}

TEST(Runtime, ThreadsCanBeLimited) {
  const int before = lamina::num_threads();
  EXPECT_GE(before, 1);
  lamina::set_num_threads(1);
  EXPECT_EQ(lamina::num_threads(), 1);
  lamina::set_num_threads(before + 1);  // an upper limit, not a demand
  EXPECT_EQ(lamina::num_threads(), before);
  EXPECT_THROW(lamina::set_num_threads(0), lamina::Error);
}

}  // namespace
