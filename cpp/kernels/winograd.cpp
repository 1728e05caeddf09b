// The convolution itself: transformed weights once for the whole batch, then block by block of
// tiles, small enough for L2, the inputs, the 36 products and the outputs.
#include "kernels/winograd.h"

#include "base/parallel.h"
#include "kernels/winograd_tiles.h"

namespace lamina::winograd {
namespace {

using tile::kTileRows;

constexpr int kSlot = 2;  // workspace slot of a block's matrices
constexpr Dim kPanel = tile::kPanel<float>;
constexpr Dim kBlockBytes = 640 * 1024;  // of L2, for a block's inputs and products
constexpr Dim kGroupBytes = 4 << 20;     // for the weights that are transformed together
constexpr int kPanelSlot = 3;            // and of a panel's weights when it is computed by itself
constexpr Dim kMostTiles = 6 * kTileRows;
constexpr Dim kLeastTiles = std::min(kTileRows, 7);  // of a block; enough rows for the product
constexpr Dim kFewTiles = 2 * kTileRows;
constexpr Dim kDepth = 16;  // inputs whose weights are transformed at a time

// Outputs go by panels of the product. All blocks of tiles pass over a group of panels before the
// next: so many that their transformed weights stay in the outer caches.
struct Panels {
  Dim begin, end;
  Dim size() const { return end - begin; }
};
Dim panels(const ConvShape& s) { return (s.out_c + kPanel - 1) / kPanel; }
Dim group_size(const ConvShape& s) {
  const Dim bytes = Matrices::size(s.in_c, kPanel) * Dim{sizeof(float)};
  return std::clamp<Dim>(kGroupBytes / bytes, 1, panels(s));
}

// A few tiles are not worth splitting: every panel is computed by itself, with its weights.
bool has_few_tiles(const ConvShape& s) { return Grid(s).tiles() <= kFewTiles; }

// Tiles of a block: whole tiles of the product, and at least a few blocks for several threads.
Dim block_tiles(const ConvShape& s, Dim tiles) {
  const Dim bytes = kProducts * Dim{sizeof(float)} * (round_up(s.in_c, kLane) + kPanel);
  const Dim most = std::min<Dim>(kBlockBytes / bytes / kTileRows * kTileRows, kMostTiles);
  return std::clamp<Dim>(round_up((tiles + 15) / 16, kLeastTiles), kLeastTiles,
                         std::max<Dim>(kTileRows, most));
}

// ---- Weights: for every panel of outputs 36 matrices (input, output), as the product reads them.

// 3 x 3 weights of `depth` inputs and a panel of outputs, as nine matrices -> rows of `to`.
void transform_weights(Dim depth, Dim columns, const float* nine, const Matrices& to, Dim first) {
  for (Dim in = 0; in < depth; ++in)
    for (Dim out = 0; out < columns; out += kLane) {
      const float* const from = nine + in * kPanel + out;
      float* const at = to.at(0, first + in) + out;
      V half[3][kIn];
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        V g[3];
        for (int i = 0; i < 3; ++i) g[i] = load(from + (i * 3 + j) * kDepth * kPanel);
        kernel(g, half[j]);
      }
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) {
        const V g[3] = {half[0][i], half[1][i], half[2][i]};
        V u[kIn];
        kernel(g, u);
#pragma GCC unroll 6
        for (int j = 0; j < kIn; ++j) store<float>(at + (i * kIn + j) * to.step, u[j]);
      }
    }
}

void transform_weights(const ConvShape& s, const float* w, Weights kind, Panels group,
                       float* transformed) {
  const Dim parts = (s.in_c + kDepth - 1) / kDepth;
  const bool turned = kind == Weights::turned;
  const Dim in_step = turned ? 1 : s.out_c, out_step = turned ? s.in_c : 1;
  parallel_for(group.size() * parts, 4, [&](Dim begin, Dim end) {
    float* const nine = workspace<float>(kSlot, 9 * kDepth * kPanel);
    for (Dim part = begin; part < end; ++part) {
      const Dim panel = part / parts, in = part % parts * kDepth;
      const Dim out = (group.begin + panel) * kPanel;
      const Dim depth = std::min(kDepth, s.in_c - in), columns = std::min(kPanel, s.out_c - out);
      for (Dim p = 0; p < 9; ++p)
        pack_b<float>(columns, depth,
                      w + (turned ? 8 - p : p) * s.in_c * s.out_c + in * in_step + out * out_step,
                      in_step, out_step, nine + p * kDepth * kPanel);
      const Matrices to(transformed + panel * Matrices::size(s.in_c, kPanel), s.in_c, kPanel);
      transform_weights(depth, columns, nine, to, in);
    }
  });
}

// ---- One block of tiles

void block(const ConvShape& s, const Grid& grid, Dim begin, Dim end, Panels group, const float* x,
           float* weights, const Epilogue<float>& e, float* y) {
  const Dim tiles = end - begin;
  const Dim inputs_size = Matrices::size(tiles, s.in_c);
  float* const memory =
      workspace<float>(kSlot, inputs_size + Matrices::size(tiles, kPanel) + kLine);
  const Matrices inputs(memory, tiles, s.in_c), products(memory + inputs_size, tiles, kPanel);
  float* const line = products.data + Matrices::size(tiles, kPanel);
  grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
    transform_inputs(s, x, run, 0, s.in_c, inputs, first, line);
  });
  for (Dim panel = group.begin; panel < group.end; ++panel) {
    const Dim out = panel * kPanel, last = std::min(out + kPanel, s.out_c);
    const Dim skipped = (panel - group.begin) * Matrices::size(s.in_c, kPanel);
    const Matrices w(weights + skipped, s.in_c, kPanel);
    for (int p = 0; p < kProducts; ++p)
      gemm_packed_serial<float>(tiles, round_up(last - out, kLane), s.in_c, inputs.at(p, 0),
                                inputs.row, w.at(p, 0), products.at(p, 0), products.row, {});
    grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
      transform_outputs(s, products, first, run, out, last, e, y);
    });
  }
}

void conv_by_panels(const ConvShape& s, const float* x, const float* w, Weights kind, float* y,
                    const Epilogue<float>& e) {
  const Grid grid(s);
  parallel_chunks(panels(s), [&](std::int64_t panel) {
    const Panels alone{panel, panel + 1};
    float* const weights = workspace<float>(kPanelSlot, Matrices::size(s.in_c, kPanel));
    transform_weights(s, w, kind, alone, weights);
    block(s, grid, 0, grid.tiles(), alone, x, weights, e, y);
  });
}

void conv_by_blocks(const ConvShape& s, const float* x, const float* w, Weights kind, float* y,
                    const Epilogue<float>& e, float* scratch) {
  const Grid grid(s);
  const Dim tiles = grid.tiles(), step = group_size(s);
  for (Dim begin = 0; begin < panels(s); begin += step) {
    const Panels group{begin, std::min(begin + step, panels(s))};
    transform_weights(s, w, kind, group, scratch);
    parallel_for(tiles, block_tiles(s, tiles), [&](Dim first, Dim last) {
      block(s, grid, first, last, group, x, scratch, e, y);
    });
  }
}

// The activations that transform_outputs leaves out: they would be sixteen copies of long code.
void activate(const ConvShape& s, Activation activation, float* y) {
  const auto over_pixels = [&](auto f) {
    parallel_for(s.pixels() * s.out_c, 16384,
                 [&](Dim begin, Dim end) { apply<float>(y + begin, end - begin, f, y + begin); });
  };
  if (activation == Activation::sigmoid) over_pixels([](V v) { return sigmoid(v); });
  if (activation == Activation::tanh) over_pixels([](V v) { return tanh(v); });
}

}  // namespace

bool pays(const ConvShape& s) {
  constexpr Dim kLeastChannels = 8, kLeastPixels = 36;
  const bool fits = s.kernel == ConvShape::Axes{1, 3, 3} && s.unit_stride() && s.groups == 1 &&
                    s.dilation[1] == 1 && s.dilation[2] == 1 && s.pad[0] == 0;
  // Small images leave much of their tiles empty, and alone they do not make up for the transform
  // of the weights.
  return fits && s.in_c >= kLeastChannels && s.out_c >= kLeastChannels &&
         s.out[1] * s.out[2] >= kLeastPixels &&
         3 * kProducts * Grid(s).tiles_of_image() <= 2 * 9 * s.out[1] * s.out[2];
}

Dim conv_scratch(const ConvShape& s) {
  return has_few_tiles(s) ? 0 : group_size(s) * Matrices::size(s.in_c, kPanel);
}

void conv(const ConvShape& s, const float* x, const float* w, Weights kind, float* y,
          const Epilogue<float>& e, float* scratch) {
  if (has_few_tiles(s))
    conv_by_panels(s, x, w, kind, y, e);
  else
    conv_by_blocks(s, x, w, kind, y, e, scratch);
  activate(s, e.activation, y);
}

}  // namespace lamina::winograd
