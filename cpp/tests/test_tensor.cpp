#include "lamina/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

using namespace lamina;

namespace {

bool is_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

TEST(Tensor, IsAlignedAndRowMajor) {
  const Tensor t = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_TRUE(is_aligned(t.raw()));
  EXPECT_EQ(t.size(), 6u);
  EXPECT_EQ(t.bytes(), 24u);
  EXPECT_EQ(t.data<float>()[5], 6);
}

TEST(Tensor, MayBeEmptyOrHaveNoAxes) {
  EXPECT_EQ(Tensor().shape(), Shape{0});
  const Tensor empty(Spec{DType::f64, {3, 0, 2}});
  EXPECT_EQ(empty.size(), 0u);
  EXPECT_NE(empty.raw(), nullptr);
  const Tensor number = Tensor::scalar(2.5);
  EXPECT_TRUE(number.shape().empty());
  EXPECT_EQ(number.size(), 1u);
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  Tensor a = Tensor::zeros({DType::i32, {4}});
  Tensor shared = a, own = a.clone();
  a.data<std::int32_t>()[0] = 7;
  EXPECT_EQ(shared.data<std::int32_t>()[0], 7);
  EXPECT_EQ(own.data<std::int32_t>()[0], 0);
}

TEST(Tensor, WrapKeepsTheOwnerAlive) {
  auto owner = std::make_shared<std::vector<double>>(3, 1.5);
  const std::weak_ptr<std::vector<double>> watch = owner;
  Tensor t = Tensor::wrap({DType::f64, {3}}, owner->data(), owner);
  owner.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(t.data<double>()[2], 1.5);
  t = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Tensor(Spec{DType::f32, {2, -3}}), ShapeError);
  EXPECT_THROW(Tensor(Spec{DType::f32, {kUnknown}}), ShapeError);
  constexpr Dim kHuge = std::numeric_limits<Dim>::max() / 2;
  EXPECT_THROW(Tensor(Spec{DType::f32, {kHuge, kHuge}}), ShapeError);
  EXPECT_THROW(Tensor::of<float>({2}, {1, 2, 3}), ShapeError);
  EXPECT_THROW(Tensor::scalar(1.0f).data<double>(), TypeError);
}

TEST(Variable, TakesValuesOfItsSpecOnly) {
  Variable v("kernel", Tensor::of<float>({2}, {1, 2}));
  v.assign(Tensor::of<float>({2}, {3, 4}));
  EXPECT_EQ(v.value().data<float>()[1], 4);
  EXPECT_THROW(v.assign(Tensor::of<float>({3}, {3, 4, 5})), ShapeError);
  EXPECT_THROW(v.assign(Tensor::of<double>({2}, {3, 4})), ShapeError);
}

TEST(Pack, MovesVariablesIntoOneBuffer) {
  const auto a = std::make_shared<Variable>("a", Tensor::of<float>({3}, {1, 2, 3}));
  const auto b = std::make_shared<Variable>("b", Tensor::of<float>({2, 1}, {4, 5}));
  const VariablePtr all[] = {a, b};
  const VariablePtr packed = pack(all, "trainable");
  ASSERT_EQ(packed->spec(), (Spec{DType::f32, {32}}));
  EXPECT_EQ(a->value().raw(), packed->value().raw());
  EXPECT_TRUE(is_aligned(b->value().raw()));
  EXPECT_EQ(b->value().data<float>()[1], 5);
  EXPECT_EQ(packed->value().data<float>()[3], 0);  // a gap
  packed->value().data<float>()[16] = 9;
  EXPECT_EQ(b->value().data<float>()[0], 9);
}

// Buffers of this size come from the kernel as zeros, and what is zero is not copied there.
TEST(Pack, LargeBuffersOfZerosAreZeroAndOnesOwn) {
  const Spec large{DType::f32, {9 << 20}};
  const Tensor zeros = Tensor::zeros(large);
  Tensor clone = zeros.clone();
  clone.data<float>()[large.shape[0] - 1] = 1;
  const VariablePtr a = std::make_shared<Variable>("a", zeros.clone());
  const VariablePtr b = std::make_shared<Variable>("b", zeros.clone());
  const VariablePtr c = std::make_shared<Variable>("c", clone.clone());
  const VariablePtr two[] = {a, b}, mixed[] = {a, c};
  VariablePtr packed = pack(two, "zeros");
  EXPECT_TRUE(is_aligned(packed->value().raw()));
  const auto is_zero = [](const Tensor& t) {
    return std::all_of(t.data<float>(), t.data<float>() + t.size(), [](float v) { return v == 0; });
  };
  EXPECT_TRUE(is_zero(packed->value()));
  b->value().data<float>()[0] = 5;
  EXPECT_EQ(packed->value().data<float>()[large.shape[0]], 5);
  EXPECT_TRUE(is_zero(zeros));
  packed = pack(mixed, "mixed");
  EXPECT_TRUE(is_zero(a->value()));
  EXPECT_EQ(packed->value().data<float>()[2 * large.shape[0] - 1], 1);
}

TEST(Pack, TakesOneDtype) {
  const VariablePtr mixed[] = {std::make_shared<Variable>("a", Tensor::scalar(1.0f)),
                               std::make_shared<Variable>("b", Tensor::scalar(1.0))};
  EXPECT_THROW(pack(mixed, "x"), TypeError);
  EXPECT_THROW(pack({}, "x"), Error);
}

TEST(Types, NamesGoBothWays) {
  for (const DType dtype :
       {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::boolean}) {
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
  }
  try {
    parse_dtype("flaot32");
    FAIL();
  } catch (const TypeError& e) {
    EXPECT_NE(std::string(e.what()).find("Did you mean 'float32'?"), std::string::npos);
  }
  EXPECT_EQ(nearest_name("xyzzy", {"relu", "sigmoid"}), "");
}

TEST(Types, PrintAsPythonDoes) {
  EXPECT_EQ(to_string(Shape{}), "()");
  EXPECT_EQ(to_string(Shape{3}), "(3,)");
  EXPECT_EQ(to_string(Spec{DType::f32, {kUnknown, 784}}), "(None, 784) float32");
}

}  // namespace
