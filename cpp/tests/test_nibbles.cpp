// Four-bit numbers, two to a byte.
#include <gtest/gtest.h>

#include "kernel_testing.h"

using namespace lamina;

namespace {

Tensor bytes(Shape shape, DType dtype) {
  Tensor t(Spec{dtype, std::move(shape)});
  auto* data = static_cast<std::uint8_t*>(t.raw());
  for (std::size_t i = 0; i < t.size(); ++i) data[i] = static_cast<std::uint8_t>(37 * i + 11);
  return t;
}

int half_of(std::uint8_t byte, Dim index, bool is_signed) {
  const int half = index % 2 == 0 ? byte & 15 : byte >> 4;
  return is_signed && half > 7 ? half - 16 : half;
}

TEST(Nibbles, UnpackAlongAnyAxis) {
  for (const Dim length : {5, 6}) {
    for (const bool is_signed : {true, false}) {
      for (const Dim axis : {0, 1, 2}) {
        Shape shape{4, 7, 9};
        shape[static_cast<std::size_t>(axis)] = 3;
        const Tensor packed = bytes(shape, is_signed ? DType::i8 : DType::u8);
        const Attrs attrs{{"axis", axis}, {"length", length}, {"signed", is_signed}};
        const Tensor y = run_one("unpack_nibbles", {packed}, attrs);
        Dim inner = 1;
        for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < 3; ++i) inner *= shape[i];
        const auto* data = static_cast<const std::uint8_t*>(packed.raw());
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto at = static_cast<Dim>(i);
          const Dim column = at % inner, k = at / inner % length, row = at / inner / length;
          const std::uint8_t byte = data[(row * 3 + k / 2) * inner + column];
          ASSERT_EQ(y.data<float>()[i], static_cast<float>(half_of(byte, k, is_signed)));
        }
      }
    }
  }
}

TEST(Nibbles, AreTheSameOnAllThreads) {
  const Tensor packed = bytes({700, 301}, DType::i8);
  for (const Dim axis : {0, 1}) {
    const Dim length = 2 * packed.shape()[static_cast<std::size_t>(axis)] - 1;
    expect_same_for_all_threads("unpack_nibbles", {packed}, {{"axis", axis}, {"length", length}});
  }
}

TEST(Nibbles, RefuseWhatHoldsNone) {
  const Attrs attrs{{"axis", Dim{0}}, {"length", Dim{9}}};
  EXPECT_THROW(run_op("unpack_nibbles", {{bytes({4}, DType::i8)}}, attrs), ShapeError);
  EXPECT_THROW(run_op("unpack_nibbles", {{uniform({4})}}, {{"axis", Dim{0}}, {"length", Dim{4}}}),
               TypeError);
}

}  // namespace
