// cast(x; dtype): from every stored type to every other.
#include "kernels/narrow.h"
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

template <class To, class From>
To converted(From x) {
  const auto value = widened(x);
  using Value = decltype(value);
  constexpr bool from_real = std::is_floating_point_v<std::remove_cvref_t<Value>>;
  if constexpr (std::is_same_v<To, bool>)
    return value != 0;
  else if constexpr (std::is_same_v<To, From>)
    return x;
  else if constexpr (kIsNarrowFloat<To> && std::is_same_v<From, double>)
    return To(x);
  else if constexpr (kIsNarrowFloat<To> && sizeof(From) == 8)
    return To(static_cast<double>(value));  // float could not hold the integer: rounded twice
  else if constexpr (kIsNarrowFloat<To>)
    return To(static_cast<float>(value));
  else if constexpr (from_real && sizeof(To) < 4)
    return static_cast<To>(static_cast<std::int32_t>(value));  // wraps, as from int32
  else if constexpr (from_real && std::is_same_v<To, std::uint32_t>)
    return static_cast<To>(static_cast<std::int64_t>(value));
  else
    return static_cast<To>(value);
}

std::vector<Spec> infer_cast(const InferArgs& a) {
  require_count(a, 1);
  return {{parse_dtype(attr_str(a.attrs, "dtype", "float32")), a[0].shape}};
}
Tile cast_tile(const BindArgs& a) {
  return with_storage(a.out[0].dtype, [&](auto to) {
    return with_storage(a.in[0].dtype, [](auto from) -> Tile {
      using To = decltype(to);
      using From = decltype(from);
      return [](void* const* ins, void* out, std::int64_t n) {
        const auto* x = static_cast<const From*>(ins[0]);
        auto* y = static_cast<To*>(out);
        LAMINA_INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) y[i] = converted<To>(x[i]);
      };
    });
  });
}
Bound bind_cast(const BindArgs& a) { return bind_elementwise(a, cast_tile(a), 1); }
Grads cast_vjp(Builder& b, const VjpArgs& a) { return {b.cast(a.d_out[0], b.dtype(a.in[0]))}; }

const Register r{
    {.name = "cast",
     .traits = kElementwise | kInPlace | kAnyDtype,
     .infer = infer_cast,
     .bind = bind_cast,
     .vjp = cast_vjp,
     .tile = cast_tile},
};

}  // namespace
}  // namespace lamina
