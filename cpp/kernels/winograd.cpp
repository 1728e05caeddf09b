// The convolution itself: transformed weights once for the whole batch, then block by block of
// tiles, small enough for L2, the inputs, the products and the outputs.
#include "kernels/winograd.h"

#include "kernels/winograd_block.h"

namespace lamina::winograd {
namespace {

constexpr Dim kGroupBytes = 4 << 20;  // for the weights that are transformed together
constexpr int kPanelSlot = 3;         // workspace slot of a panel's when it is computed by itself
constexpr Dim kFewTiles = 2 * kTileRows;
constexpr Dim kManyTiles = 512;  // beside whose products the transform of the weights is nothing
constexpr Dim kDepth = 16;       // inputs whose weights are transformed at a time

// All blocks of tiles pass over a group of panels before the next: so many that their transformed
// weights stay in the outer caches.
template <class Scheme>
Dim group_size(const ConvShape& s) {
  const Dim bytes = Scheme::Products::size(s.in_c, kPanel) * Dim{sizeof(float)};
  return std::clamp<Dim>(kGroupBytes / bytes, 1, panels(s));
}

// A few tiles are not worth splitting: every panel is computed by itself, with its weights.
template <class Scheme>
bool has_few_tiles(const ConvShape& s) {
  return Scheme::grid(s).tiles() <= kFewTiles;
}

// ---- Weights: for every panel of outputs the matrices (input, output), as the product reads them.

template <class Scheme>
void transform_weights(const ConvShape& s, const float* w, Weights kind, Panels group,
                       float* transformed) {
  using Products = typename Scheme::Products;
  const Dim parts = (s.in_c + kDepth - 1) / kDepth;
  const bool turned = kind == Weights::turned;
  const Dim in_step = turned ? 1 : s.out_c, out_step = turned ? s.in_c : 1;
  parallel_for(group.size() * parts, 4, [&](Dim begin, Dim end) {
    float* const taps = workspace<float>(kSlot, Scheme::kTaps * kDepth * kPanel);
    for (Dim part = begin; part < end; ++part) {
      const Dim panel = part / parts, in = part % parts * kDepth;
      const Dim out = (group.begin + panel) * kPanel;
      const Dim depth = std::min(kDepth, s.in_c - in), columns = std::min(kPanel, s.out_c - out);
      const float* const corner = w + in * in_step + out * out_step;
      for (Dim p = 0; p < Scheme::kTaps; ++p)
        pack_b<float>(columns, depth,
                      corner + (turned ? Scheme::kTaps - 1 - p : p) * s.in_c * s.out_c, in_step,
                      out_step, taps + p * kDepth * kPanel);
      const Products to(transformed + panel * Products::size(s.in_c, kPanel), s.in_c, kPanel);
      for (Dim i = 0; i < depth; ++i)
        for (Dim o = 0; o < columns; o += kLane)
          Scheme::transform_weights(taps + i * kPanel + o, kDepth * kPanel, to.at(0, in + i) + o,
                                    to.step);
    }
  });
}

// ---- One block of tiles

template <class Scheme>
void block(const ConvShape& s, const Grid& grid, Dim begin, Dim end, Panels group, const Parts& x,
           const float* weights, const Epilogue<float>& e, const Parts& y) {
  using Products = typename Scheme::Products;
  const auto take = [&](const Products& inputs, float* line) {
    transform_inputs<Scheme>(s, grid, x, begin, end, 0, s.in_c, inputs, line);
  };
  block<Scheme>(
      s, end - begin, group, weights, take, [&](const Products& products, Dim out, Dim last) {
        over_parts(y, out, last, [&](std::size_t i, Dim first_channel, Dim last_channel, Dim at) {
          if (y.at(i) == nullptr) return;
          ConvShape part = s;
          part.out_c = y.channels[i];
          const Epilogue<float> of_part{e.bias == nullptr ? nullptr : e.bias + at, e.activation};
          const Products columns = products.from_column(at + first_channel - out);
          grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
            Scheme::transform_outputs(part, columns, first, run, first_channel, last_channel,
                                      of_part, y.at(i));
          });
        });
      });
}

template <class Scheme>
void conv_by_panels(const ConvShape& s, const Parts& x, const float* w, Weights kind,
                    const Parts& y, const Epilogue<float>& e) {
  const Grid grid = Scheme::grid(s);
  parallel_chunks(panels(s), [&](std::int64_t panel) {
    const Panels alone{panel, panel + 1};
    float* const weights = workspace<float>(kPanelSlot, Scheme::Products::size(s.in_c, kPanel));
    transform_weights<Scheme>(s, w, kind, alone, weights);
    block<Scheme>(s, grid, 0, grid.tiles(), alone, x, weights, e, y);
  });
}

template <class Scheme>
void conv_by_blocks(const ConvShape& s, const Parts& x, const float* w, Weights kind,
                    const Parts& y, const Epilogue<float>& e, float* scratch) {
  const Grid grid = Scheme::grid(s);
  const Dim tiles = grid.tiles(), step = group_size<Scheme>(s);
  for (Dim begin = 0; begin < panels(s); begin += step) {
    const Panels group{begin, std::min(begin + step, panels(s))};
    transform_weights<Scheme>(s, w, kind, group, scratch);
    const Dim blocks = block_count<Scheme>(s, tiles);
    parallel_chunks(blocks, [&](std::int64_t i) {
      block<Scheme>(s, grid, tiles * i / blocks, tiles * (i + 1) / blocks, group, x, scratch, e, y);
    });
  }
}

// Blocks of tiles, or, where that makes too few, of tiles and panels: then several threads
// transform the same inputs.
template <class Scheme>
void conv_by_shares(const ConvShape& s, const Parts& x, const float* weights, const Parts& y,
                    const Epilogue<float>& e) {
  const Grid grid = Scheme::grid(s);
  const Dim tiles = grid.tiles(), down = block_count<Scheme>(s, tiles);
  const Dim across = std::clamp<Dim>(threads_at_hand() / down, 1, panels(s));
  parallel_chunks(down * across, [&](std::int64_t chunk) {
    const Dim i = chunk / across, j = chunk % across;
    const Panels group{panels(s) * j / across, panels(s) * (j + 1) / across};
    block<Scheme>(s, grid, tiles * i / down, tiles * (i + 1) / down, group, x,
                  weights + group.begin * Scheme::Products::size(s.in_c, kPanel), e, y);
  });
}

// The activations that transform_outputs leaves out: they would be sixteen copies of long code.
void activate(Dim n, Activation activation, float* y) {
  const auto over_pixels = [&](auto f) {
    parallel_for(n, 16384,
                 [&](Dim begin, Dim end) { apply<float>(y + begin, end - begin, f, y + begin); });
  };
  if (activation == Activation::sigmoid) over_pixels([](V v) { return sigmoid(v); });
  if (activation == Activation::tanh) over_pixels([](V v) { return tanh(v); });
}
void finish(const ConvShape& s, const Epilogue<float>& e, const Parts& y) {
  for (std::size_t i = 0; i < y.channels.size(); ++i)
    if (y.at(i) != nullptr) activate(s.pixels() * y.channels[i], e.activation, y.at(i));
}

}  // namespace

bool pays(const ConvShape& s) {
  const auto axis_fits = [&](int axis) {
    return s.stride[axis] == 1 && s.dilation[axis] == 1 &&
           (s.kernel[axis] > 1 || (s.pad[axis] == 0 && s.in[axis] == s.out[axis]));
  };
  if (s.groups != 1 || !axis_fits(0) || !axis_fits(1) || !axis_fits(2)) return false;
  constexpr Dim kLeastChannels = 8;
  bool pays = false;
  // Small images leave much of their tiles empty, and alone they do not make up for the transform
  // of the weights.
  with_scheme(s, [&]<class Scheme>(Scheme) {
    const Grid grid = Scheme::grid(s);
    pays = std::min(s.in_c, s.out_c) >= kLeastChannels && s.in_c * s.out_c >= Scheme::kLeastPairs &&
           grid.outputs >= Scheme::kLeastOutputs &&
           3 * Scheme::kProducts * grid.tiles_of_image() <= 2 * Scheme::kTaps * grid.outputs;
  });
  return pays;
}

bool can_be_parts(std::span<const Dim> channels) {
  return std::all_of(channels.begin(), channels.end(),
                     [](Dim count) { return count > 0 && count % kLane == 0; });
}

Dim conv_scratch(const ConvShape& s) {
  Dim scratch = 0;
  with_scheme(s, [&]<class Scheme>(Scheme) {
    if (!has_few_tiles<Scheme>(s))
      scratch = group_size<Scheme>(s) * Scheme::Products::size(s.in_c, kPanel);
  });
  return scratch;
}

Dim weights_size(const ConvShape& s) {
  Dim size = 0;
  with_scheme(
      s, [&]<class Scheme>(Scheme) { size = panels(s) * Scheme::Products::size(s.in_c, kPanel); });
  return size;
}

void transform_weights(const ConvShape& s, const float* w, float* transformed) {
  std::fill(transformed, transformed + weights_size(s), 0.f);  // the gaps between the matrices
  with_scheme(s, [&]<class Scheme>(Scheme) {
    transform_weights<Scheme>(s, w, Weights::forward, {0, panels(s)}, transformed);
  });
}

bool transform_counts(const ConvShape& s) {
  bool counts = false;
  with_scheme(s, [&]<class Scheme>(Scheme) { counts = Scheme::grid(s).tiles() <= kManyTiles; });
  return counts;
}

void conv_transformed(const ConvShape& s, const Parts& x, const float* transformed, const Parts& y,
                      const Epilogue<float>& e) {
  with_scheme(s, [&]<class Scheme>(Scheme) { conv_by_shares<Scheme>(s, x, transformed, y, e); });
  finish(s, e, y);
}

void conv(const ConvShape& s, const Parts& x, const float* w, Weights kind, const Parts& y,
          const Epilogue<float>& e, float* scratch) {
  with_scheme(s, [&]<class Scheme>(Scheme) {
    if (has_few_tiles<Scheme>(s))
      conv_by_panels<Scheme>(s, x, w, kind, y, e);
    else
      conv_by_blocks<Scheme>(s, x, w, kind, y, e, scratch);
  });
  finish(s, e, y);
}

}  // namespace lamina::winograd
