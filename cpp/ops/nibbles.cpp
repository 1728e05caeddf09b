// unpack_nibbles(packed int8 or uint8; axis, length, signed=true, dtype="float32"): the four-bit
// numbers that two to a byte lie along an axis, the first in the low half; the axis gets `length`,
// at most twice its bytes.
#include "base/parallel.h"
#include "ops/op.h"

namespace lamina {
namespace {

constexpr Dim kGrain = 1 << 15;  // bytes a chunk has at least

template <class T>
T low_half(std::uint8_t byte, bool is_signed) {
  const int half = byte & 15;
  return static_cast<T>(is_signed ? (half ^ 8) - 8 : half);
}
template <class T>
T high_half(std::uint8_t byte, bool is_signed) {
  return low_half<T>(static_cast<std::uint8_t>(byte >> 4), is_signed);
}

std::vector<Spec> infer_unpack(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype != DType::i8 && a[0].dtype != DType::u8)
    type_error(std::string("packed must be int8 or uint8, got ") + dtype_name(a[0].dtype));
  const DType dtype = parse_dtype(attr_str(a.attrs, "dtype", "float32"));
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::i32)
    type_error(std::string("dtype must be float32, float64 or int32, got ") + dtype_name(dtype));
  Shape shape = a[0].shape;
  const auto axis =
      static_cast<std::size_t>(normalize_axis(attr_int(a.attrs, "axis"), shape.size()));
  const Dim length = attr_int(a.attrs, "length");
  if (length < 0 || (shape[axis] != kUnknown && length > 2 * shape[axis]))
    shape_error("axis " + std::to_string(axis) + " holds no " + std::to_string(length) +
                " numbers in its " + std::to_string(shape[axis]) + " bytes");
  shape[axis] = length;
  return {{dtype, shape}};
}

// Rows of bytes [outer, pairs, inner]; each becomes two rows of the result, the last perhaps one.
template <class T>
Kernel unpack_kernel(Dim outer, Dim pairs, Dim inner, Dim length, bool is_signed) {
  return [=](const Run& run) {
    const auto* packed = run.in<std::uint8_t>(0);
    T* out = run.out<T>(0);
    parallel_for(outer * pairs, std::max<Dim>(1, kGrain / std::max<Dim>(inner, 1)),
                 [&](Dim begin, Dim end) {
                   for (Dim row = begin; row < end; ++row) {
                     const std::uint8_t* bytes = packed + row * inner;
                     const Dim pair = row % pairs;
                     if (2 * pair >= length) continue;
                     T* low = out + ((row / pairs) * length + 2 * pair) * inner;
                     for (Dim i = 0; i < inner; ++i) low[i] = low_half<T>(bytes[i], is_signed);
                     if (2 * pair + 1 == length) continue;
                     T* high = low + inner;
                     for (Dim i = 0; i < inner; ++i) high[i] = high_half<T>(bytes[i], is_signed);
                   }
                 });
  };
}

// The usual case of a packed last axis: pairs lie side by side, so whole rows are one loop.
template <class T>
Kernel unpack_last_kernel(Dim outer, Dim pairs, Dim length, bool is_signed) {
  return [=](const Run& run) {
    const auto* packed = run.in<std::uint8_t>(0);
    T* out = run.out<T>(0);
    parallel_for(outer, std::max<Dim>(1, kGrain / std::max<Dim>(pairs, 1)),
                 [&](Dim begin, Dim end) {
                   for (Dim row = begin; row < end; ++row) {
                     const std::uint8_t* bytes = packed + row * pairs;
                     T* y = out + row * length;
                     const Dim whole = length / 2;
                     for (Dim i = 0; i < whole; ++i) {
                       y[2 * i] = low_half<T>(bytes[i], is_signed);
                       y[2 * i + 1] = high_half<T>(bytes[i], is_signed);
                     }
                     if (length % 2 != 0) y[length - 1] = low_half<T>(bytes[whole], is_signed);
                   }
                 });
  };
}

template <class T>
Bound bound_unpack(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const auto axis =
      static_cast<std::size_t>(normalize_axis(attr_int(a.attrs, "axis"), shape.size()));
  const Dim length = a.out[0].shape[axis], pairs = shape[axis];
  const bool is_signed = attr_bool(a.attrs, "signed", true);
  const Dim outer = dim_product(std::span(shape).first(axis));
  const Dim inner = dim_product(std::span(shape).subspan(axis + 1));
  Bound bound;
  bound.run = inner == 1 ? unpack_last_kernel<T>(outer, pairs, length, is_signed)
                         : unpack_kernel<T>(outer, pairs, inner, length, is_signed);
  bound.flops = static_cast<double>(outer * pairs * inner);
  return bound;
}
Bound bind_unpack(const BindArgs& a) {
  if (a.out[0].dtype == DType::i32) return bound_unpack<std::int32_t>(a);
  return with_float(a.out[0].dtype, [&](auto tag) { return bound_unpack<decltype(tag)>(a); });
}

const Register r{
    {.name = "unpack_nibbles", .traits = kAnyDtype, .infer = infer_unpack, .bind = bind_unpack},
};

}  // namespace
}  // namespace lamina
