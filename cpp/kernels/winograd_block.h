// A block of tiles, small enough for L2: their inputs transformed, the products with the
// transformed weights panel by panel of the outputs, and what becomes of these.
#pragma once

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/winograd_schemes.h"

namespace lamina::winograd {

using tile::kTileRows;

constexpr int kSlot = 2;  // workspace slot of a block's matrices
constexpr Dim kPanel = tile::kPanel<float>;
constexpr Dim kBlockBytes = 640 * 1024;  // of L2, for a block's inputs and products
constexpr Dim kMostTiles = 6 * kTileRows;
constexpr Dim kLeastTiles = std::min(kTileRows, 7);  // of a block; enough rows for the product

// Outputs go by panels of the product.
struct Panels {
  Dim begin, end;
  Dim size() const { return end - begin; }
};
inline Dim panels(const ConvShape& s) { return (s.out_c + kPanel - 1) / kPanel; }

// Blocks of equal sizes that the tiles are cut into: small enough for L2, and where there are few,
// as many as the threads can share evenly.
template <class Scheme>
Dim block_count(const ConvShape& s, Dim tiles) {
  const Dim bytes = Scheme::kProducts * Dim{sizeof(float)} * (round_up(s.in_c, kLane) + kPanel);
  const Dim most = std::clamp<Dim>(kBlockBytes / bytes, kTileRows, kMostTiles);
  const Dim threads = threads_at_hand();
  const Dim for_cache = (tiles + most - 1) / most;
  const Dim for_threads =
      std::max(std::min(2 * threads, tiles / kTileRows), std::min(threads, tiles / kLeastTiles));
  const Dim count = std::max({Dim{1}, for_cache, for_threads});
  return count > threads ? std::min(tiles, round_up(count, threads)) : count;
}

// products = inputs weights, rows of tiles by a few columns: in_c products for each element, in
// order. The register tiles are called directly: these products are so small that arithmetic about
// blocks would show.
inline void multiply(const ConvShape& s, Dim tiles, Dim columns, const float* inputs,
                     Dim inputs_row, const float* weights, float* products, Dim products_row) {
  constexpr Dim kMostDepth = 512;  // a panel of the weights stays in the first-level cache
  if (s.in_c > kMostDepth)
    return gemm_packed_serial<float>(tiles, columns, s.in_c, inputs, inputs_row, weights, products,
                                     products_row, {});
  tile::Job<float> job{};
  job.k = s.in_c;
  job.a_row = inputs_row;
  job.a_k = 1;
  job.b = weights;
  job.b_k = kPanel;
  job.ldc = products_row;
  const int vectors = static_cast<int>(columns / kLane);
  const Dim count = (tiles + kTileRows - 1) / kTileRows;
  const Dim rows = tiles / count, longer = tiles % count;
  for (Dim i = 0, row = 0; i < count; ++i) {
    const Dim size = rows + (i < longer);
    job.a = job.ahead = inputs + row * inputs_row;
    job.c = products + row * products_row;
    row += size;
    tile::kTable<float>.get(static_cast<int>(size), vectors, false)(job);
  }
}

// take(inputs, line) transforms the inputs of the block's tiles; give(products, first and last
// channel) is called with each panel's products.
template <class Scheme, class Take, class Give>
void block(const ConvShape& s, Dim tiles, Panels group, const float* weights, const Take& take,
           const Give& give) {
  using Products = typename Scheme::Products;
  if (tiles == 0) return;
  const Dim inputs_size = Products::size(tiles, s.in_c);
  float* const memory =
      workspace<float>(kSlot, inputs_size + Products::size(tiles, kPanel) + Scheme::kRunScratch);
  const Products inputs(memory, tiles, s.in_c), products(memory + inputs_size, tiles, kPanel);
  take(inputs, products.data + Products::size(tiles, kPanel));
  for (Dim panel = group.begin; panel < group.end; ++panel) {
    const Dim out = panel * kPanel, last = std::min(out + kPanel, s.out_c);
    const Dim step = Products::size(s.in_c, kPanel);
    const float* const w = weights + (panel - group.begin) * step;
    for (int p = 0; p < Scheme::kProducts; ++p)
      multiply(s, tiles, round_up(last - out, kLane), inputs.at(p, 0), inputs.row,
               w + p * (step / Scheme::kProducts), products.at(p, 0), products.row);
    give(products, out, last);
  }
}

}  // namespace lamina::winograd
