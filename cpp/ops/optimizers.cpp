// Optimizer updates: one sweep over the parameters and their slots. Inputs are the states (the
// parameter first), then the gradient, the learning rate (0-d) and, for Adam, the step number from
// zero (0-d int64); output i is the new value of state i. Keras's arithmetic.
//
// Row-sparse gradients: the attribute `sparse` lists (begin, rows, width) of embedding tables that
// lie in the flat parameter and have no gradient in the flat one. Their gradients come as pairs of
// further inputs, ids and rows; the graph pass `fuse` arranges that. Every row is still updated, as
// Keras does, but a row that no id names costs no gradient.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/optimizer.h"
#include "ops/op.h"

namespace lamina {
namespace {

constexpr Dim kGrain = 16384;               // elements a chunk
constexpr Dim kLeastStreamed = 4 * kGrain;  // below, a sweep takes no time to speak of

struct Layout {
  std::size_t states;
  bool has_step;
  std::size_t gradient() const { return states; }
  std::size_t lr() const { return states + 1; }
  std::size_t step() const { return states + 2; }
  std::size_t count() const { return states + 2 + (has_step ? 1 : 0); }
};

struct Table {
  Dim begin, rows, width, ids;  // in elements; ids: how many
  DType ids_dtype;
};

std::vector<Table> tables_of(std::span<const Spec> in, const Attrs& attrs) {
  const std::vector<std::int64_t> list = attr_ints(attrs, "sparse", {});
  std::vector<Table> tables;
  const std::size_t first = in.size() - list.size() / 3 * 2;
  for (std::size_t i = 0; i < list.size() / 3; ++i)
    tables.push_back({list[3 * i], list[3 * i + 1], list[3 * i + 2],
                      element_count(in[first + 2 * i].shape), in[first + 2 * i].dtype});
  return tables;
}

// Tables must lie one after the other in the parameter, each with its ids and their rows.
void require_tables(const InferArgs& a) {
  constexpr Dim kMost = std::numeric_limits<std::int32_t>::max();  // chains hold positions as int32
  const std::vector<Table> tables = tables_of(a.in, a.attrs);
  Dim end = 0;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const Table& t = tables[i];
    const std::size_t ids = a.in.size() - 2 * (tables.size() - i);
    require_integer(a[ids], "ids");
    require_same_dtype(a[0], a[ids + 1]);
    if (t.begin < end || t.rows < 0 || t.width < 0 || t.rows > kMost || t.ids > kMost)
      throw Error("sparse has a table that does not lie behind the one before");
    end = dim_add(t.begin, dim_mul(t.rows, t.width));
    if (element_count(a[ids + 1].shape) != dim_mul(t.ids, t.width))
      shape_error("sparse has a table whose rows do not match its ids");
  }
  if (end > element_count(a[0].shape)) shape_error("sparse has a table beyond the parameter");
}

std::vector<Spec> infer_update(const InferArgs& a, const Layout& at) {
  const std::size_t table_numbers = attr_ints(a.attrs, "sparse", {}).size();
  if (table_numbers % 3 != 0) throw Error("sparse must hold three numbers a table");
  require_count(a, at.count() + table_numbers / 3 * 2);
  require_floating(a[0], "the parameter");
  for (std::size_t i = 1; i <= at.lr(); ++i) require_same_dtype(a[0], a[i]);
  for (std::size_t i = 1; i <= at.gradient(); ++i)
    if (a[i].shape != a[0].shape)
      shape_error("the parameter, its slots and its gradient must have one shape, got " +
                  to_string(a[0].shape) + " and " + to_string(a[i].shape));
  require_rank(a[at.lr()], 0, "the learning rate");
  if (at.has_step) {
    require_rank(a[at.step()], 0, "the step number");
    if (a[at.step()].dtype != DType::i64)
      type_error(std::string("the step number must be int64, got ") +
                 dtype_name(a[at.step()].dtype));
  }
  if (table_numbers > 0) require_tables(a);
  return std::vector<Spec>(at.states, a[0]);
}

// An attribute in [0, 1), or [0, 1] when `one` is allowed.
double read_fraction(const Attrs& attrs, const char* name, double fallback, bool one) {
  const double value = attr_real(attrs, name, fallback);
  if (value >= 0 && (value < 1 || (one && value == 1))) return value;
  throw Error(std::string(name) + " must be in " + (one ? "[0, 1]" : "[0, 1)") + ", got " +
              to_string(Attr(value)));
}

// The ids of each row of a table, as chains in the order of the ids: head[row], then next[id].
struct Chains {
  std::int32_t *head, *next;
  Chains(std::byte* scratch, const Table& t)
      : head(reinterpret_cast<std::int32_t*>(scratch)), next(head + t.rows) {}
  static std::size_t bytes(const Table& t) {
    return static_cast<std::size_t>(t.rows + t.ids) * sizeof(std::int32_t);
  }
  template <class Index>
  void build(const Index* ids, const Table& t) {
    std::fill_n(head, t.rows, -1);
    for (Dim i = t.ids - 1; i >= 0; --i) {
      if (ids[i] < 0 || ids[i] >= t.rows) continue;  // noted as a failure by the lookup
      next[i] = head[ids[i]];
      head[ids[i]] = static_cast<std::int32_t>(i);
    }
  }
};

// Updates the rows of one table; duplicate ids are summed in order.
template <class T, class Rule>
void sweep_table(const Rule& rule, const Run& r, const Table& t, const Chains& chains,
                 const T* d_rows) {
  const Dim grain = std::max<Dim>(1, kGrain / std::max<Dim>(t.width, 1));
  parallel_for(t.rows, grain, [&](Dim begin, Dim end) {
    T* gradient = workspace<T>(0, static_cast<std::size_t>(2 * t.width));
    T* zero = gradient + t.width;
    std::fill_n(zero, t.width, T(0));
    for (Dim row = begin; row < end; ++row) {
      const Dim at = t.begin + row * t.width;
      if (chains.head[row] < 0) {
        optimizer::sweep<T>(rule, r.ins, r.outs, zero, at, at + t.width);
        continue;
      }
      const T* first = d_rows + chains.head[row] * t.width;
      if (chains.next[chains.head[row]] < 0) {
        optimizer::sweep<T>(rule, r.ins, r.outs, first, at, at + t.width);
        continue;
      }
      std::copy_n(first, t.width, gradient);
      for (std::int32_t i = chains.next[chains.head[row]]; i >= 0; i = chains.next[i])
        for (Dim k = 0; k < t.width; ++k) gradient[k] += d_rows[i * t.width + k];
      optimizer::sweep<T>(rule, r.ins, r.outs, gradient, at, at + t.width);
    }
  });
}

// Which way a sweep writes the parameters. All threads have read them since the last step. Where
// threads share no cache, every line that is written must first be taken from the others, one after
// the other, which made whole steps a quarter slower; streaming past the caches needs no such
// leave. Where they do share one, streaming only costs. So now and then both ways are timed. This
// chooses between instructions that leave the same bits, never between results.
class WayOfWriting {
 public:
  // Runs sweep(stream) over so many elements in the way that was faster of late.
  template <class Sweep>
  void run(Dim elements, const Sweep& sweep) {
    const std::uint32_t run = runs_.fetch_add(1, std::memory_order_relaxed) % kPeriod;
    if (run > 1) return sweep(streams_.load(std::memory_order_relaxed));
    const auto start = std::chrono::steady_clock::now();
    sweep(run == 1);
    const double time =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
        static_cast<double>(elements);
    if (run == 0)
      stored_.store(time, std::memory_order_relaxed);
    else
      streams_.store(2 * time < stored_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint32_t kPeriod = 128;
  std::atomic<std::uint32_t> runs_{0};
  std::atomic<double> stored_{0};  // seconds an element, the last time
  std::atomic<bool> streams_{false};
};

// A kernel that sweeps with the rule that make_rule(run) returns: scalars are read once a call.
template <class T, class MakeRule>
Bound sweeping(const BindArgs& a, double cost, const MakeRule& make_rule) {
  const Dim n = element_count(a.in[0].shape);
  const std::size_t states = a.out.size();
  const std::vector<Table> tables = tables_of(a.in, a.attrs);
  const std::size_t first_table = a.in.size() - 2 * tables.size();
  std::size_t scratch = 0;
  for (const Table& t : tables) scratch = std::max(scratch, Chains::bytes(t));
  const auto way = std::make_shared<WayOfWriting>();
  const auto run = [=](const Run& r) {
    const auto rule = make_rule(r);
    const T* gradient = r.in<T>(states);
    const auto sweep = [&](Dim from, Dim to, auto streams) {
      parallel_for(to - from, kGrain, [&](Dim begin, Dim end) {
        optimizer::sweep<T, streams.value>(rule, r.ins, r.outs, gradient + from + begin,
                                           from + begin, from + end);
      });
    };
    const auto dense = [&](Dim from, Dim to) {
      const bool aligned = reinterpret_cast<std::uintptr_t>(r.outs[0]) % sizeof(Vec<T>) == 0 &&
                           from % kLanes<T> == 0;
      if (!optimizer::kCanStream || !aligned || to - from < kLeastStreamed)
        return sweep(from, to, std::false_type{});
      way->run(to - from, [&](bool streams) {
        if (streams)
          sweep(from, to, std::true_type{});
        else
          sweep(from, to, std::false_type{});
      });
    };
    Dim at = 0;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const Table& t = tables[i];
      dense(at, t.begin);
      Chains chains(r.scratch, t);
      with_index(t.ids_dtype,
                 [&](auto tag) { chains.build(r.in<decltype(tag)>(first_table + 2 * i), t); });
      sweep_table<T>(rule, r, t, chains, r.in<T>(first_table + 2 * i + 1));
      at = t.begin + t.rows * t.width;
    }
    dense(at, n);
  };
  return {.run = run, .scratch_bytes = scratch, .flops = cost * static_cast<double>(n)};
}

// ---- unfilled(shape, dtype): a buffer that nobody writes. Stands in a pack for a gradient that
// the update takes as rows.
std::vector<Spec> infer_unfilled(const InferArgs& a) {
  return {{parse_dtype(attr_str(a.attrs, "dtype", "float32")), attr_ints(a.attrs, "shape")}};
}
Bound bind_unfilled(const BindArgs&) {
  return {.run = [](const Run&) {}};
}

// ---- SGD.
std::vector<Spec> infer_sgd(const InferArgs& a) { return infer_update(a, {1, false}); }

Bound bind_sgd(const BindArgs& a) {
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return sweeping<T>(a, 4, [decay = static_cast<T>(weight_decay)](const Run& r) {
      const T lr = r.in<T>(2)[0];
      return optimizer::Sgd<T>{lr, decay * lr};
    });
  });
}

std::vector<Spec> infer_sgd_momentum(const InferArgs& a) {
  read_fraction(a.attrs, "momentum", 0, true);
  return infer_update(a, {2, false});
}

Bound bind_sgd_momentum(const BindArgs& a) {
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  const double momentum = attr_real(a.attrs, "momentum", 0);
  const bool nesterov = attr_bool(a.attrs, "nesterov", false);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const optimizer::Momentum<T> fixed{0, static_cast<T>(weight_decay), static_cast<T>(momentum),
                                       nesterov};
    return sweeping<T>(a, 6, [fixed](const Run& r) {
      optimizer::Momentum<T> rule = fixed;
      rule.lr = r.in<T>(3)[0];
      rule.decay *= rule.lr;
      return rule;
    });
  });
}

// ---- Adam.
template <bool kAmsgrad>
constexpr Layout kAdamLayout{kAmsgrad ? 4 : 3, true};

template <bool kAmsgrad>
std::vector<Spec> infer_adam(const InferArgs& a) {
  read_fraction(a.attrs, "beta_1", 0.9, false);
  read_fraction(a.attrs, "beta_2", 0.999, false);
  return infer_update(a, kAdamLayout<kAmsgrad>);
}

template <bool kAmsgrad>
Bound bind_adam(const BindArgs& a) {
  constexpr Layout at = kAdamLayout<kAmsgrad>;
  const double beta_1 = attr_real(a.attrs, "beta_1", 0.9);
  const double beta_2 = attr_real(a.attrs, "beta_2", 0.999);
  const double epsilon = attr_real(a.attrs, "epsilon", 1e-7);
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    using Rule = optimizer::Adam<T, kAmsgrad>;
    const optimizer::BiasCorrection<T> correct_m(beta_1), correct_v(beta_2);
    const Rule fixed{.alpha = 0,
                     .decay = static_cast<T>(weight_decay),
                     .to_m = static_cast<T>(1 - beta_1),
                     .to_v = static_cast<T>(1 - beta_2),
                     .epsilon = static_cast<T>(epsilon)};
    return sweeping<T>(a, 14, [=](const Run& r) {
      const std::int64_t t = r.in<std::int64_t>(at.step())[0] + 1;
      const T lr = r.in<T>(at.lr())[0];
      Rule rule = fixed;
      rule.alpha = lr * std::sqrt(correct_v.at(t)) / correct_m.at(t);
      rule.decay *= lr;
      return rule;
    });
  });
}

// ---- RMSprop. The states are p, v, then the average gradient if centered, then the momentum if
// there is one.
Layout rmsprop_layout(const Attrs& attrs) {
  std::size_t states = 2;
  if (attr_bool(attrs, "centered", false)) ++states;
  if (attr_real(attrs, "momentum", 0) > 0) ++states;
  return {states, false};
}

std::vector<Spec> infer_rmsprop(const InferArgs& a) {
  read_fraction(a.attrs, "rho", 0.9, true);
  read_fraction(a.attrs, "momentum", 0, true);
  return infer_update(a, rmsprop_layout(a.attrs));
}

template <bool kCentered, bool kMomentum>
Bound bind_rmsprop_variant(const BindArgs& a) {
  const double rho = attr_real(a.attrs, "rho", 0.9);
  const double momentum = attr_real(a.attrs, "momentum", 0);
  const double epsilon = attr_real(a.attrs, "epsilon", 1e-7);
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    using Rule = optimizer::RmsProp<T, kCentered, kMomentum>;
    const Rule fixed{.lr = 0,
                     .decay = static_cast<T>(weight_decay),
                     .rho = static_cast<T>(rho),
                     .to_v = static_cast<T>(1 - rho),
                     .epsilon = static_cast<T>(epsilon),
                     .momentum = static_cast<T>(momentum)};
    return sweeping<T>(a, 14, [fixed](const Run& r) {
      Rule rule = fixed;
      rule.lr = r.in<T>(Rule::kStates + 1)[0];
      rule.decay *= rule.lr;
      return rule;
    });
  });
}

Bound bind_rmsprop(const BindArgs& a) {
  const bool centered = attr_bool(a.attrs, "centered", false);
  const bool momentum = attr_real(a.attrs, "momentum", 0) > 0;
  if (centered)
    return momentum ? bind_rmsprop_variant<true, true>(a) : bind_rmsprop_variant<true, false>(a);
  return momentum ? bind_rmsprop_variant<false, true>(a) : bind_rmsprop_variant<false, false>(a);
}

const Register registered{
    {.name = "sgd_update", .traits = kUpdate, .infer = infer_sgd, .bind = bind_sgd},
    {.name = "sgd_momentum_update",
     .traits = kUpdate,
     .infer = infer_sgd_momentum,
     .bind = bind_sgd_momentum},
    {.name = "adam_update",
     .traits = kUpdate,
     .infer = infer_adam<false>,
     .bind = bind_adam<false>},
    {.name = "adam_amsgrad_update",
     .traits = kUpdate,
     .infer = infer_adam<true>,
     .bind = bind_adam<true>},
    {.name = "unfilled", .traits = kRandom, .infer = infer_unfilled, .bind = bind_unfilled},
    {.name = "rmsprop_update", .traits = kUpdate, .infer = infer_rmsprop, .bind = bind_rmsprop},
};

}  // namespace
}  // namespace lamina
