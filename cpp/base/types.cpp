#include "lamina/types.h"

#include <algorithm>
#include <cstdio>
#include <limits>

namespace lamina {

Error::Error(const std::string& what) : std::runtime_error(what) {}
Error::~Error() = default;
ShapeError::ShapeError(const std::string& what) : Error(what) {}
ShapeError::~ShapeError() = default;
TypeError::TypeError(const std::string& what) : Error(what) {}
TypeError::~TypeError() = default;

namespace {

struct DTypeRow {
  const char* name;
  std::size_t size;
  DType compute;
  bool floating;
};
// In the order of the enum.
constexpr DTypeRow kDTypes[] = {
    {"float32", 4, DType::f32, true},       {"float64", 8, DType::f64, true},
    {"int32", 4, DType::i32, false},        {"int64", 8, DType::i64, false},
    {"uint8", 1, DType::u8, false},         {"bool", 1, DType::boolean, false},
    {"float16", 2, DType::f32, true},       {"bfloat16", 2, DType::f32, true},
    {"float8_e4m3fn", 1, DType::f32, true}, {"float8_e5m2", 1, DType::f32, true},
    {"int8", 1, DType::i32, false},         {"int16", 2, DType::i32, false},
    {"uint16", 2, DType::i32, false},       {"uint32", 4, DType::i64, false}};

const DTypeRow& row_of(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

// Letters to insert, drop or change, and neighbours to swap ("rleu" is one away from "relu").
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last, row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = std::move(last);
    last = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::size_t item_size(DType dtype) { return row_of(dtype).size; }
const char* dtype_name(DType dtype) { return row_of(dtype).name; }
bool is_floating(DType dtype) { return row_of(dtype).floating; }
DType compute_dtype(DType dtype) { return row_of(dtype).compute; }

DType parse_dtype(std::string_view name) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::size(kDTypes); ++i) {
    if (name == kDTypes[i].name) return static_cast<DType>(i);
    names.emplace_back(kDTypes[i].name);
  }
  const std::string near = nearest_name(name, names);
  std::string all;
  for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
  throw TypeError("dtype '" + std::string(name) + "' is not one of " + all +
                  (near.empty() ? "" : ". Did you mean '" + near + "'?"));
}

bool is_known(const Shape& shape) {
  return std::none_of(shape.begin(), shape.end(), [](Dim d) { return d == kUnknown; });
}

Dim element_count(const Shape& shape) {
  constexpr Dim kMost = std::numeric_limits<Dim>::max() / 16;  // 16: no dtype is larger, with room
  Dim count = 1;
  bool empty = false;
  for (const Dim d : shape) {
    if (d < 0)
      throw ShapeError("shape " + to_string(shape) + " has a size that is negative or unknown");
    if (d == 0) {
      empty = true;  // what is left must not be too large either: kernels multiply some sizes
      continue;
    }
    if (count > kMost / d) throw ShapeError("shape " + to_string(shape) + " is too large");
    count *= d;
  }
  return empty ? 0 : count;
}

std::size_t byte_size(const Spec& spec) {
  return static_cast<std::size_t>(element_count(spec.shape)) * item_size(spec.dtype);
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] == kUnknown ? "None" : std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string to_string(const Spec& spec) {
  return to_string(spec.shape) + " " + dtype_name(spec.dtype);
}

std::string to_string(const Attr& attr) {
  if (const auto* b = std::get_if<bool>(&attr)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<std::int64_t>(&attr)) return std::to_string(*i);
  if (const auto* d = std::get_if<double>(&attr)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", *d);
    return text;
  }
  if (const auto* s = std::get_if<std::string>(&attr)) return "'" + *s + "'";
  if (const auto* g = std::get_if<GraphPtr>(&attr)) {
    char text[32];  // bodies differ unless they are one object
    std::snprintf(text, sizeof text, "graph@%p", static_cast<const void*>(g->get()));
    return text;
  }
  std::string text = "[";
  for (const std::int64_t v : std::get<std::vector<std::int64_t>>(attr)) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(v);
  }
  return text + "]";
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace lamina
