// How elementwise ops run: broadcasting, blocks, threads. The ops themselves are in the other
// elementwise_*.cpp and activations.cpp.
#include "ops/elementwise.h"

#include <algorithm>
#include <array>

#include "base/even_parts.h"

namespace lamina {
namespace {

constexpr Dim kBlock = 512;  // elements of a spread operand that exist at a time
constexpr double kChunkWork = 16384;
constexpr std::size_t kMaxAxes = 16;

void copy_items(std::byte* to, const std::byte* from, Dim n, std::size_t item) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * item);
}

template <class T>
void fill_typed(std::byte* to, const std::byte* from, Dim n) {
  T value;
  std::memcpy(&value, from, sizeof value);
  std::fill_n(reinterpret_cast<T*>(to), n, value);
}
void fill_items(std::byte* to, const std::byte* from, Dim n, std::size_t item) {
  if (item == 4)
    fill_typed<std::uint32_t>(to, from, n);
  else if (item == 8)
    fill_typed<std::uint64_t>(to, from, n);
  else if (item == 2)
    fill_typed<std::uint16_t>(to, from, n);
  else
    fill_typed<std::uint8_t>(to, from, n);
}

struct Axis {
  Dim size;
  Dim stride;  // in elements of the operand: 0 where it is repeated
};

// One operand, seen from the output's elements in order.
struct Operand {
  enum class Kind : std::uint8_t {
    whole,   // the output's shape
    period,  // its last axes only, few elements: repeated into a buffer once
    slide,   // its last axes only, many elements: read where it lies, a period at a time
    spread,  // anything else: each block is spread into a buffer
  };
  Kind kind = Kind::whole;
  std::size_t item = 0;
  Dim period = 0;
  std::vector<Axis> axes;  // spread: outermost first, neighbours of one pattern merged
};

Operand make_operand(const Spec& spec, const Spec& out) {
  Operand o;
  o.item = item_size(spec.dtype);
  const std::size_t rank = out.shape.size(), lead = rank - spec.shape.size();
  std::vector<Axis> axes;  // innermost first
  Dim stride = 1;
  for (std::size_t i = rank; i-- > 0;) {
    const Dim size = out.shape[i];
    if (size == 1) continue;
    const bool repeated = i < lead || spec.shape[i - lead] == 1;
    if (!axes.empty() && (axes.back().stride == 0) == repeated)
      axes.back().size *= size;
    else
      axes.push_back({size, repeated ? 0 : stride});
    if (!repeated) stride *= size;
  }
  if (axes.empty() || (axes.size() == 1 && axes[0].stride == 1)) return o;
  if (axes[0].stride == 0 && axes.size() == 1) {
    o.kind = Operand::Kind::period;
    o.period = 1;
  } else if (axes[0].stride == 1 && axes.size() == 2) {
    o.period = axes[0].size;
    o.kind = o.period <= kBlock / 2 ? Operand::Kind::period : Operand::Kind::slide;
  } else {
    if (axes.size() > kMaxAxes) shape_error("broadcasts over more than 16 axes");
    o.kind = Operand::Kind::spread;
    o.axes.assign(axes.rbegin(), axes.rend());
  }
  return o;
}

// Writes the n elements that the output's elements from `begin` on see.
void spread(const Operand& o, const std::byte* from, Dim begin, Dim n, std::byte* to) {
  std::array<Dim, kMaxAxes> at;
  Dim offset = 0, rest = begin;
  for (std::size_t i = o.axes.size(); i-- > 0;) {
    at[i] = rest % o.axes[i].size;
    rest /= o.axes[i].size;
    offset += at[i] * o.axes[i].stride;
  }
  const std::size_t last = o.axes.size() - 1;
  const Axis inner = o.axes[last];
  while (n > 0) {
    const Dim run = std::min(n, inner.size - at[last]);
    const std::byte* source = from + static_cast<std::size_t>(offset) * o.item;
    if (inner.stride == 0)
      fill_items(to, source, run, o.item);
    else
      copy_items(to, source, run, o.item);
    to += static_cast<std::size_t>(run) * o.item;
    n -= run;
    offset -=
        at[last] * inner.stride;  // back to the start of the inner axis, then one step outside
    at[last] = 0;
    for (std::size_t i = last; i-- > 0;) {
      offset += o.axes[i].stride;
      if (++at[i] < o.axes[i].size) break;
      offset -= at[i] * o.axes[i].stride;
      at[i] = 0;
    }
  }
}

// Repeats the first elements of a short operand over n elements.
void repeat(const Operand& o, const std::byte* from, Dim n, std::byte* to) {
  if (o.period == 1) return fill_items(to, from, n, o.item);
  for (Dim i = 0; i < n; i += o.period)
    copy_items(to + static_cast<std::size_t>(i) * o.item, from, std::min(o.period, n - i), o.item);
}

struct Broadcasting {
  Tile tile;
  std::vector<Operand> operands;
  std::size_t out_item;
  Dim count;  // elements of the output
  Dim block;  // elements per call of the tile; a multiple of every short period
  Dim grain;  // elements per parallel chunk; a multiple of `block`

  void run(const Run& r) const {
    parallel_for(count, grain, [&](Dim begin, Dim end) { range(r, begin, end); });
  }

  void range(const Run& r, Dim begin, Dim end) const {
    alignas(64) std::byte buffers[kMaxOperands][static_cast<std::size_t>(kBlock) * 8];
    void* ins[kMaxOperands];
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (operands[k].kind == Operand::Kind::period) {
        repeat(operands[k], static_cast<const std::byte*>(r.ins[k]), std::min(block, end - begin),
               buffers[k]);
        ins[k] = buffers[k];
      }
    for (Dim i = begin; i < end;) {
      Dim n = std::min(block, end - i);
      for (std::size_t k = 0; k < operands.size(); ++k)
        if (operands[k].kind == Operand::Kind::slide)
          n = std::min(n, operands[k].period - i % operands[k].period);
      // A short operand starts at its beginning only where a block does.
      n = std::min(n, block - i % block);
      for (std::size_t k = 0; k < operands.size(); ++k) place(k, r, i, n, buffers[k], &ins[k]);
      tile(ins, static_cast<std::byte*>(r.outs[0]) + static_cast<std::size_t>(i) * out_item, n);
      i += n;
    }
  }

  void place(std::size_t k, const Run& r, Dim i, Dim n, std::byte* buffer, void** in) const {
    const Operand& o = operands[k];
    auto* base = static_cast<std::byte*>(r.ins[k]);
    switch (o.kind) {
      case Operand::Kind::whole:
        *in = base + static_cast<std::size_t>(i) * o.item;
        break;
      case Operand::Kind::slide:
        *in = base + static_cast<std::size_t>(i % o.period) * o.item;
        break;
      case Operand::Kind::period:
        *in = buffer + static_cast<std::size_t>(i % o.period) * o.item;
        break;
      case Operand::Kind::spread:
        spread(o, base, i, n, buffer);
        *in = buffer;
        break;
    }
  }
};

// Elements: whole lines of the cache and whole vectors of every type.
constexpr Dim kPartUnit = 256;

// All operands have the output's shape: no buffers, no blocks.
Kernel same_shape(Tile tile, const BindArgs& a, Dim n, Dim grain) {
  const Dim least = grain / 8;
  if (n <= least) return [tile = std::move(tile), n](const Run& r) { tile(r.ins, r.outs[0], n); };
  std::vector<std::size_t> items;
  for (const Spec& s : a.in) items.push_back(item_size(s.dtype));
  return [tile = std::move(tile), n, least, grain, items,
          out_item = item_size(a.out[0].dtype)](const Run& r) {
    parallel_evenly(n, least, kPartUnit, grain, [&](Dim begin, Dim end) {
      const auto at = static_cast<std::size_t>(begin);
      void* ins[kMaxOperands];
      for (std::size_t k = 0; k < items.size(); ++k)
        ins[k] = static_cast<std::byte*>(r.ins[k]) + at * items[k];
      tile(ins, static_cast<std::byte*>(r.outs[0]) + at * out_item, end - begin);
    });
  };
}

std::vector<Spec> unary(const InferArgs& a) {
  require_count(a, 1);
  return {a[0]};
}
std::vector<Spec> binary(const InferArgs& a) {
  require_same_dtype(a[0], a[1]);
  return {{a[0].dtype, broadcast(a[0].shape, a[1].shape)}};
}
void require_number(const Spec& spec) {
  if (spec.dtype == DType::boolean) type_error("does not take bool; cast it first");
}

}  // namespace

std::int64_t elementwise_grain(double cost) {
  return std::max<Dim>(1024, static_cast<Dim>(kChunkWork / cost) / 256 * 256);
}

Bound bind_elementwise(const BindArgs& a, Tile tile, double cost) {
  if (a.in.size() > kMaxOperands) throw Error("elementwise: more than 16 operands");
  const Dim n = element_count(a.out[0].shape);
  const double flops = static_cast<double>(n) * cost;
  const Dim grain = elementwise_grain(cost);
  if (std::all_of(a.in.begin(), a.in.end(),
                  [&](const Spec& s) { return s.shape == a.out[0].shape; }))
    return {same_shape(std::move(tile), a, n, grain), 0, flops};

  Broadcasting b{std::move(tile), {}, item_size(a.out[0].dtype), n, n, grain};
  if (n > 0)
    for (const Spec& s : a.in) b.operands.push_back(make_operand(s, a.out[0]));
  Dim longest = 0;
  bool buffered = false;
  for (const Operand& o : b.operands) {
    buffered = buffered || o.kind == Operand::Kind::period || o.kind == Operand::Kind::spread;
    if (o.kind == Operand::Kind::period) longest = std::max(longest, o.period);
  }
  if (buffered) b.block = longest > 0 ? kBlock / longest * longest : kBlock;
  b.block = std::max<Dim>(b.block, 1);
  if (buffered) b.grain = std::max<Dim>(1, grain / b.block) * b.block;
  return {[b = std::move(b)](const Run& r) { b.run(r); }, 0, flops};
}

std::vector<Spec> infer_unary_any(const InferArgs& a) { return unary(a); }
std::vector<Spec> infer_unary_floating(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "the operand");
  return unary(a);
}
std::vector<Spec> infer_unary_number(const InferArgs& a) {
  require_count(a, 1);
  require_number(a[0]);
  return unary(a);
}
std::vector<Spec> infer_binary_floating(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "operands");
  return binary(a);
}
std::vector<Spec> infer_binary_number(const InferArgs& a) {
  require_count(a, 2);
  require_number(a[0]);
  return binary(a);
}

}  // namespace lamina
