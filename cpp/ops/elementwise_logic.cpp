// Comparisons, logic and choice: ops whose output has another dtype than an input.
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

template <class F, class Out, class... In>
Tile scalar_tile(F f) {
  return [f](void* const* ins, void* out, std::int64_t n) {
    auto loop = [&]<std::size_t... I>(std::index_sequence<I...>) {
      auto run = [&](Out* o, const In*... in) {
        LAMINA_INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) o[i] = f(in[i]...);
      };
      run(static_cast<Out*>(out), static_cast<const In*>(ins[I])...);
    };
    loop(std::index_sequence_for<In...>{});
  };
}

template <Tile (*tile)(const BindArgs&)>
Bound bind_tile(const BindArgs& a) {
  return bind_elementwise(a, tile(a), 1);
}

// ---- Comparisons: any dtype -> bool.
std::vector<Spec> infer_compare(const InferArgs& a) {
  require_count(a, 2);
  require_same_dtype(a[0], a[1]);
  return {{DType::boolean, broadcast(a[0].shape, a[1].shape)}};
}
template <class F>
Tile compare_tile(const BindArgs& a) {
  return with_any(a.in[0].dtype, [](auto tag) {
    using T = decltype(tag);
    return scalar_tile<F, bool, T, T>(F{});
  });
}
template <class F>
OpDef comparison(std::string_view name) {
  return {.name = name,
          .traits = kElementwise,
          .infer = infer_compare,
          .bind = bind_tile<compare_tile<F>>,
          .tile = compare_tile<F>};
}
struct Equal {
  template <class T>
  bool operator()(T a, T b) const {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  bool operator()(T a, T b) const {
    return a != b;
  }
};
struct Less {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct Greater {
  template <class T>
  bool operator()(T a, T b) const {
    return a > b;
  }
};
struct GreaterEqual {
  template <class T>
  bool operator()(T a, T b) const {
    return a >= b;
  }
};

// ---- Logic: bool -> bool.
void require_bool(const Spec& spec, const char* operand) {
  if (spec.dtype != DType::boolean)
    type_error(std::string(operand) + " must be bool, got " + dtype_name(spec.dtype));
}
std::vector<Spec> infer_logic(const InferArgs& a) {
  require_count(a, 2);
  for (const Spec& s : a.in) require_bool(s, "operands");
  return {{DType::boolean, broadcast(a[0].shape, a[1].shape)}};
}
std::vector<Spec> infer_not(const InferArgs& a) {
  require_count(a, 1);
  require_bool(a[0], "the operand");
  return {a[0]};
}
struct And {
  bool operator()(bool a, bool b) const { return a & b; }
};
struct Or {
  bool operator()(bool a, bool b) const { return a | b; }
};
struct Not {
  bool operator()(bool a) const { return !a; }
};
template <class F>
Tile logic_tile(const BindArgs&) {
  return scalar_tile<F, bool, bool, bool>(F{});
}
Tile not_tile(const BindArgs&) { return scalar_tile<Not, bool, bool>(Not{}); }
template <class F>
OpDef logic(std::string_view name) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_logic,
          .bind = bind_tile<logic_tile<F>>,
          .tile = logic_tile<F>};
}

// ---- Tests of a number.
std::vector<Spec> infer_test(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "the operand");
  return {{DType::boolean, a[0].shape}};
}
struct IsNan {
  template <class T>
  bool operator()(T x) const {
    return x != x;
  }
};
struct IsInf {
  template <class T>
  bool operator()(T x) const {
    return std::fabs(x) == std::numeric_limits<T>::infinity();
  }
};
struct IsFinite {
  template <class T>
  bool operator()(T x) const {
    return std::fabs(x) < std::numeric_limits<T>::infinity();
  }
};
template <class F>
Tile test_tile(const BindArgs& a) {
  return with_float(a.in[0].dtype,
                    [](auto tag) { return scalar_tile<F, bool, decltype(tag)>(F{}); });
}
template <class F>
OpDef test(std::string_view name) {
  return {.name = name,
          .traits = kElementwise,
          .infer = infer_test,
          .bind = bind_tile<test_tile<F>>,
          .tile = test_tile<F>};
}

// ---- select(condition, a, b)
std::vector<Spec> infer_select(const InferArgs& a) {
  require_count(a, 3);
  require_bool(a[0], "the condition");
  require_same_dtype(a[1], a[2]);
  return {{a[1].dtype, broadcast(a[0].shape, broadcast(a[1].shape, a[2].shape))}};
}
struct Select {
  template <class T>
  T operator()(bool c, T a, T b) const {
    return c ? a : b;
  }
};
Tile select_tile(const BindArgs& a) {
  return with_any(a.out[0].dtype, [](auto tag) {
    using T = decltype(tag);
    return scalar_tile<Select, T, bool, T, T>(Select{});
  });
}
Grads select_vjp(Builder& b, const VjpArgs& a) {
  Grads d(3, kNoValue);
  const ValueId zero = b.scalar(b.dtype(a.d_out[0]), 0);
  if (a.wanted[1]) d[1] = sum_to_input(b, a, 1, b.emit("select", {a.in[0], a.d_out[0], zero}));
  if (a.wanted[2]) d[2] = sum_to_input(b, a, 2, b.emit("select", {a.in[0], zero, a.d_out[0]}));
  return d;
}

const Register r{
    comparison<Equal>("equal"),
    comparison<NotEqual>("not_equal"),
    comparison<Less>("less"),
    comparison<LessEqual>("less_equal"),
    comparison<Greater>("greater"),
    comparison<GreaterEqual>("greater_equal"),
    logic<And>("logical_and"),
    logic<Or>("logical_or"),
    logic<NotEqual>("logical_xor"),
    {.name = "logical_not",
     .traits = kElementwise | kInPlace,
     .infer = infer_not,
     .bind = bind_tile<not_tile>,
     .tile = not_tile},
    test<IsNan>("isnan"),
    test<IsInf>("isinf"),
    test<IsFinite>("isfinite"),
    {.name = "select",
     .traits = kElementwise | kInPlace,
     .infer = infer_select,
     .bind = bind_tile<select_tile>,
     .vjp = select_vjp,
     .tile = select_tile},
};

}  // namespace
}  // namespace lamina
