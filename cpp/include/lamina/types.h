// The vocabulary of the engine: element types, shapes, specs, attributes, errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lamina/api.h"

namespace lamina {

// The first six are computed in. The narrow rest is stored: an op widens it to float32, int32 or
// int64, and rounds its results back (ops/widen.h).
// clang-format off
enum class DType : std::uint8_t {
  f32, f64, i32, i64, u8, boolean,
  f16, bf16, f8e4m3, f8e5m2, i8, i16, u16, u32,
};
// clang-format on
constexpr bool is_narrow(DType dtype) { return dtype > DType::boolean; }

using Dim = std::int64_t;
using Shape = std::vector<Dim>;
constexpr Dim kUnknown = -1;  // a size not known yet: legal in shape rules, never in a Program

// What a value is, without its numbers.
struct Spec {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Spec&) const = default;
};

// An attribute of an op: everything that crosses from the caller besides tensors.
// A graph is the body of a loop or a branch, which the op runs; it does not change any more.
struct Graph;
using GraphPtr = std::shared_ptr<const Graph>;
using Attr =
    std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, GraphPtr>;
using Attrs = std::map<std::string, Attr, std::less<>>;

LAMINA_API std::size_t item_size(DType dtype);
LAMINA_API const char* dtype_name(DType dtype);       // "float32", "int64", "bool" ...
LAMINA_API DType parse_dtype(std::string_view name);  // throws TypeError with a suggestion
LAMINA_API bool is_floating(DType dtype);
LAMINA_API DType compute_dtype(DType dtype);       // what a narrow type is widened to; else itself
LAMINA_API bool is_known(const Shape& shape);      // no kUnknown in it
LAMINA_API Dim element_count(const Shape& shape);  // throws ShapeError: negative or too large
LAMINA_API std::size_t byte_size(const Spec& spec);
LAMINA_API std::string to_string(const Shape& shape);  // "(32, None, 784)"
LAMINA_API std::string to_string(const Spec& spec);    // "(32, 784) float32"
LAMINA_API std::string to_string(const Attr& attr);
// The candidate nearest in spelling, or "" when none is near.
LAMINA_API std::string nearest_name(std::string_view name,
                                    const std::vector<std::string>& candidates);

// A wrong value: a shape, a size, an attribute, an index. Python sees a ValueError.
class LAMINA_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what);
  ~Error() override;
};

// Shapes that do not fit together. Python sees a ValueError.
class LAMINA_API ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& what);
  ~ShapeError() override;
};

// A wrong type: a dtype that an op does not take. Python sees a TypeError.
class LAMINA_API TypeError : public Error {
 public:
  explicit TypeError(const std::string& what);
  ~TypeError() override;
};

}  // namespace lamina
