#include "ops/widen.h"

#include <algorithm>

namespace lamina {
namespace {

// The narrow dtypes among the operands, of one kind (floats or integers).
struct Kind {
  bool floating;
  std::optional<DType> narrow;  // the one there is; several of a kind: results stay wide
  DType wide, other;            // what they become, and another type the op would take as well

  Kind(std::span<const Spec> in, bool floating) : floating(floating) {
    bool several = false, large = false;
    for (const Spec& s : in) {
      if (!holds(s)) continue;
      several = several || (narrow && *narrow != s.dtype);
      large = large || compute_dtype(s.dtype) == DType::i64;
      narrow = s.dtype;
    }
    wide = floating ? DType::f32 : large ? DType::i64 : DType::i32;
    other = floating ? DType::f64 : large ? DType::i32 : DType::i64;
    present = narrow.has_value();
    if (several) narrow.reset();
  }
  bool holds(const Spec& s) const { return is_narrow(s.dtype) && is_floating(s.dtype) == floating; }
  bool present = false;
};

std::vector<Spec> infer_with(const OpDef& op, std::vector<Spec> in, std::span<const Spec> given,
                             const Kind& kind, const Attrs& attrs) {
  for (std::size_t i = 0; i < in.size(); ++i)
    if (kind.holds(given[i])) in[i].dtype = kind.other;
  return op.infer({in, attrs});
}

// An output follows an operand's dtype if it changes with it: that one is rounded back, whereas
// the positions of argmax, say, are not.
void follow(const OpDef& op, std::span<const Spec> given, const Kind& kind, Widened& w) {
  if (!kind.narrow) return;
  std::vector<Spec> changed;
  try {
    changed = infer_with(op, w.in, given, kind, w.attrs);
  } catch (const Error&) {
    return;  // tied to an operand that is wide of itself: so is the result
  }
  for (std::size_t k = 0; k < w.out.size(); ++k)
    if (w.out[k].dtype == kind.wide && changed[k].dtype == kind.other) w.results[k] = *kind.narrow;
}

}  // namespace

Widened widen(const OpDef& op, std::span<const Spec> in, const Attrs& attrs) {
  Widened w{{in.begin(), in.end()}, {}, attrs, {}};
  std::optional<DType> wanted;  // by the attribute
  if (const auto it = attrs.find("dtype"); it != attrs.end())
    if (const auto* name = std::get_if<std::string>(&it->second))
      if (const DType dtype = parse_dtype(*name); is_narrow(dtype)) {
        wanted = dtype;
        w.attrs["dtype"] = std::string(dtype_name(compute_dtype(dtype)));
      }
  const Kind reals(in, true), integers(in, false);
  for (std::size_t i = 0; i < in.size(); ++i)
    if (is_narrow(in[i].dtype))
      w.in[i].dtype = is_floating(in[i].dtype) ? reals.wide : integers.wide;
  w.out = op.infer({w.in, w.attrs});
  for (const Spec& s : w.out) w.results.push_back(s.dtype);
  if (op.has(kUpdate)) {  // a state keeps its dtype
    for (std::size_t k = 0; k < std::min(w.out.size(), in.size()); ++k) w.results[k] = in[k].dtype;
    return w;
  }
  if (wanted) {
    for (DType& result : w.results)
      if (result == compute_dtype(*wanted)) result = *wanted;
    return w;
  }
  follow(op, in, reals, w);
  follow(op, in, integers, w);
  return w;
}

}  // namespace lamina
