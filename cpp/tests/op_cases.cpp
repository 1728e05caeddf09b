#include "op_cases.h"

#include <algorithm>
#include <random>
#include <utility>

using lamina::DType;
using lamina::Shape;
using lamina::Spec;
using lamina::Tensor;

std::vector<OpCase>& op_cases() {
  static std::vector<OpCase> cases;
  return cases;
}

AddCases::AddCases(std::initializer_list<OpCase> cases) {
  op_cases().insert(op_cases().end(), cases.begin(), cases.end());
}

namespace {

// Not std::uniform_real_distribution: its numbers differ between standard libraries.
double unit(std::mt19937_64& generator) { return static_cast<double>(generator() >> 11) * 0x1p-53; }

}  // namespace

Tensor uniform(Shape shape, double lo, double hi, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  Tensor t(Spec{DType::f64, std::move(shape)});
  for (std::size_t i = 0; i < t.size(); ++i) t.data<double>()[i] = lo + (hi - lo) * unit(generator);
  return t;
}

Tensor distinct(Shape shape, double lo, double hi, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  Tensor t(Spec{DType::f64, std::move(shape)});
  double* values = t.data<double>();
  const std::size_t n = t.size();
  const double step = n > 1 ? (hi - lo) / static_cast<double>(n - 1) : 0;
  for (std::size_t i = 0; i < n; ++i) values[i] = lo + step * static_cast<double>(i);
  for (std::size_t i = n; i > 1; --i) std::swap(values[i - 1], values[generator() % i]);
  return t;
}

Tensor arange_like(Shape shape, double start, double step) {
  Tensor t(Spec{DType::f64, std::move(shape)});
  for (std::size_t i = 0; i < t.size(); ++i) {
    t.data<double>()[i] = start + step * static_cast<double>(i);
  }
  return t;
}

Tensor integers(Shape shape, std::int64_t bound, std::uint64_t seed, DType dtype) {
  std::mt19937_64 generator(seed);
  Tensor t(Spec{dtype, std::move(shape)});
  for (std::size_t i = 0; i < t.size(); ++i) {
    const auto value = static_cast<std::int64_t>(generator() % static_cast<std::uint64_t>(bound));
    if (dtype == DType::i32) t.data<std::int32_t>()[i] = static_cast<std::int32_t>(value);
    if (dtype == DType::i64) t.data<std::int64_t>()[i] = value;
    if (dtype == DType::u8) t.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(value);
    if (dtype == DType::boolean) t.data<bool>()[i] = value != 0;
  }
  return t;
}

Tensor to_floating(const Tensor& x, DType dtype) {
  if (!lamina::is_floating(x.dtype()) || x.dtype() == dtype) return x;
  Tensor t(Spec{dtype, x.shape()});
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (dtype == DType::f32) {
      t.data<float>()[i] = static_cast<float>(x.data<double>()[i]);
    } else {
      t.data<double>()[i] = x.data<float>()[i];
    }
  }
  return t;
}
