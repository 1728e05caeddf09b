#include "ops/op.h"

#include <algorithm>
#include <map>

namespace lamina {
namespace {

// Built while the library's static objects are, so it must exist before its first user.
std::map<std::string_view, OpDef>& registry() {
  static auto* ops = new std::map<std::string_view, OpDef>();
  return *ops;
}

const Attr* find_attr(const Attrs& attrs, std::string_view name) {
  const auto it = attrs.find(name);
  return it == attrs.end() ? nullptr : &it->second;
}

[[noreturn]] void wrong_attr(std::string_view name, const Attr* attr, const char* wanted) {
  if (attr == nullptr)
    throw Error("attribute '" + std::string(name) + "' is missing; it must be " + wanted);
  throw TypeError("attribute '" + std::string(name) + "' must be " + wanted + ", got " +
                  to_string(*attr));
}

[[noreturn]] void too_large(Dim a, const char* sign, Dim b) {
  shape_error("the size " + std::to_string(a) + " " + sign + " " + std::to_string(b) +
              " is too large");
}

// Lists are shapes, axes, positions: values beyond every tensor only make sums of them overflow.
std::vector<std::int64_t> checked_list(std::string_view name, std::vector<std::int64_t> list) {
  constexpr std::int64_t kMost = std::int64_t{1} << 60;
  for (const std::int64_t v : list)
    if (v > kMost || v < -kMost)
      throw Error("attribute '" + std::string(name) +
                  "' has a value that is too large: " + to_string(Attr(list)));
  return list;
}

}  // namespace

Register::Register(std::initializer_list<OpDef> ops) {
  for (const OpDef& op : ops) registry().emplace(op.name, op);
}

const OpDef* find_op_or_null(std::string_view name) {
  const auto it = registry().find(name);
  return it == registry().end() ? nullptr : &it->second;
}

const OpDef& find_op(std::string_view name) {
  if (const OpDef* op = find_op_or_null(name)) return *op;
  const std::string near = nearest_name(name, op_names());
  throw Error("there is no op '" + std::string(name) + "'" +
              (near.empty() ? "" : ". Did you mean '" + near + "'?"));
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const auto& [name, op] : registry()) names.emplace_back(name);
  return names;
}

std::string_view op_name(const Node& node) { return node.op->name; }

bool op_is_differentiable(std::string_view name) { return find_op(name).vjp != nullptr; }

bool attr_bool(const Attrs& attrs, std::string_view name, bool fallback) {
  const Attr* a = find_attr(attrs, name);
  if (a == nullptr) return fallback;
  if (const auto* b = std::get_if<bool>(a)) return *b;
  wrong_attr(name, a, "true or false");
}

std::int64_t attr_int(const Attrs& attrs, std::string_view name) {
  const Attr* a = find_attr(attrs, name);
  if (a != nullptr)
    if (const auto* i = std::get_if<std::int64_t>(a)) return *i;
  wrong_attr(name, a, "an integer");
}

std::int64_t attr_int(const Attrs& attrs, std::string_view name, std::int64_t fallback) {
  return find_attr(attrs, name) == nullptr ? fallback : attr_int(attrs, name);
}

double attr_real(const Attrs& attrs, std::string_view name, double fallback) {
  const Attr* a = find_attr(attrs, name);
  if (a == nullptr) return fallback;
  if (const auto* d = std::get_if<double>(a)) return *d;
  if (const auto* i = std::get_if<std::int64_t>(a)) return static_cast<double>(*i);
  wrong_attr(name, a, "a number");
}

std::string attr_str(const Attrs& attrs, std::string_view name, std::string fallback) {
  const Attr* a = find_attr(attrs, name);
  if (a == nullptr) return fallback;
  if (const auto* s = std::get_if<std::string>(a)) return *s;
  wrong_attr(name, a, "a string");
}

std::vector<std::int64_t> attr_ints(const Attrs& attrs, std::string_view name) {
  const Attr* a = find_attr(attrs, name);
  if (a != nullptr) {
    if (const auto* v = std::get_if<std::vector<std::int64_t>>(a)) return checked_list(name, *v);
    if (const auto* i = std::get_if<std::int64_t>(a)) return checked_list(name, {*i});
  }
  wrong_attr(name, a, "a list of integers");
}

std::vector<std::int64_t> attr_ints(const Attrs& attrs, std::string_view name,
                                    std::vector<std::int64_t> fallback) {
  return find_attr(attrs, name) == nullptr ? std::move(fallback) : attr_ints(attrs, name);
}

Dim dim_add(Dim a, Dim b) {
  if (a == kUnknown || b == kUnknown) return kUnknown;
  Dim sum;
  if (__builtin_add_overflow(a, b, &sum)) too_large(a, "+", b);
  return sum;
}
Dim dim_mul(Dim a, Dim b) {
  if (a == kUnknown || b == kUnknown) return kUnknown;
  Dim product;
  if (__builtin_mul_overflow(a, b, &product)) too_large(a, "*", b);
  return product;
}
Dim dim_floordiv(Dim a, Dim b) {
  if (a == kUnknown || b == kUnknown) return kUnknown;
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
Dim dim_product(std::span<const Dim> dims) {
  Dim product = 1;
  for (const Dim d : dims) product = dim_mul(product, d);
  return product;
}
Dim dim_merge(Dim a, Dim b) {
  if (a == b || b == kUnknown) return a;
  return a == kUnknown ? b : -2;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < out.size(); ++i) {  // from the last axis
    const Dim x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const Dim y = i < b.size() ? b[b.size() - 1 - i] : 1;
    const Dim merged = x == 1 ? y : y == 1 ? x : dim_merge(x, y);
    if (merged == -2)
      shape_error("shapes " + to_string(a) + " and " + to_string(b) +
                  " cannot be broadcast together: " + std::to_string(x) + " and " +
                  std::to_string(y) + " differ and neither is 1");
    out[out.size() - 1 - i] = merged;
  }
  return out;
}

int normalize_axis(std::int64_t axis, std::size_t rank) {
  const auto r = static_cast<std::int64_t>(rank);
  if (axis < -r || axis >= r)
    throw Error("axis " + std::to_string(axis) + " is out of range for a tensor of rank " +
                std::to_string(rank));
  return static_cast<int>(axis < 0 ? axis + r : axis);
}

std::vector<int> normalize_axes(const std::vector<std::int64_t>& axes, std::size_t rank) {
  std::vector<int> out;
  for (const std::int64_t axis : axes) out.push_back(normalize_axis(axis, rank));
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end())
    throw Error("axes " + to_string(Attr(axes)) + " name an axis twice");
  return out;
}

void shape_error(const std::string& what) { throw ShapeError(what); }
void type_error(const std::string& what) { throw TypeError(what); }

void require_floating(const Spec& spec, const char* operand) {
  if (!is_floating(spec.dtype))
    type_error(std::string(operand) + " must be float32 or float64, got " + dtype_name(spec.dtype));
}
void require_integer(const Spec& spec, const char* operand) {
  if (spec.dtype != DType::i32 && spec.dtype != DType::i64)
    type_error(std::string(operand) + " must be int32 or int64, got " + dtype_name(spec.dtype));
}
void require_same_dtype(const Spec& a, const Spec& b) {
  if (a.dtype != b.dtype)
    type_error(std::string("operands must have one dtype, got ") + dtype_name(a.dtype) + " and " +
               dtype_name(b.dtype));
}
void require_rank(const Spec& spec, std::size_t rank, const char* operand) {
  if (spec.shape.size() != rank)
    shape_error(std::string(operand) + " must have rank " + std::to_string(rank) + ", got shape " +
                to_string(spec.shape));
}
void require_count(const InferArgs& a, std::size_t inputs) {
  if (a.in.size() != inputs)
    throw Error("takes " + std::to_string(inputs) + " inputs, got " + std::to_string(a.in.size()));
}

}  // namespace lamina
