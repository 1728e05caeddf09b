// The gradient of the weights: the transpose of Winograd's convolution in them. Slices of the tiles
// are summed apart, each by products over its tiles, and added in order.
#include "base/parallel.h"
#include "kernels/slices.h"
#include "kernels/winograd.h"
#include "kernels/winograd_schemes.h"

namespace lamina::winograd {
namespace {

constexpr int kSlot = 2;
constexpr Dim kChannels = 64;             // inputs and outputs whose weights are summed at a time
constexpr Dim kBlockBytes = 1024 * 1024;  // for the transformed tiles: about L2
constexpr Dim kSliceTiles = 128;          // worth the transform of the sums at the end
constexpr Dim kMostSlices = 64;
constexpr Dim kScratch = 2 * 1024 * 1024;  // elements

template <class Scheme>
Dim slices(const ConvShape& s) {
  const Dim most = std::clamp<Dim>(kScratch / s.weights(), 1, kMostSlices);
  return std::clamp<Dim>(Scheme::grid(s).tiles() / kSliceTiles, 1, most);
}

template <class Scheme>
Dim block_tiles(Dim in, Dim out) {
  return std::max<Dim>(kBlockBytes / (Scheme::kProducts * Dim{sizeof(float)} * (in + out)), 8);
}

struct Range {
  Dim begin, end;
  Dim size() const { return end - begin; }
};

// Sums of products (input, output) -> gradients of the weights, rows of w out_c apart.
template <class Scheme>
void transform_sums(const ConvShape& s, const typename Scheme::Products& sums, Range in, Range out,
                    float* dw) {
  for (Dim i = 0; i < in.size(); ++i)
    over_channels(out.begin, out.end, [&](Dim c, const auto&, const auto& store_some) {
      Scheme::transform_sums(sums.at(0, i) + (c - out.begin), sums.step, store_some,
                             dw + (in.begin + i) * s.out_c + c, s.in_c * s.out_c);
    });
}

// The part of dw for some inputs and outputs, from the tiles of a slice.
template <class Scheme>
void weight_grad_part(const ConvShape& s, const Grid& grid, const Parts& x, const float* dy,
                      Range tiles, Range in, Range out, float* dw) {
  using Products = typename Scheme::Products;
  const Dim most = std::min(block_tiles<Scheme>(in.size(), out.size()), tiles.size());
  const Dim inputs_size = Products::size(most, in.size());
  const Dim grads_size = Products::size(most, out.size());
  float* const memory =
      workspace<float>(kSlot, inputs_size + grads_size + Products::size(in.size(), out.size()) +
                                  Scheme::kRunScratch);
  const Products inputs(memory, most, in.size()), grads(memory + inputs_size, most, out.size());
  const Products sums(grads.data + grads_size, in.size(), out.size());
  float* const line = sums.data + Products::size(in.size(), out.size());
  for (Dim begin = tiles.begin; begin < tiles.end; begin += most) {
    const Dim end = std::min(begin + most, tiles.end);
    transform_inputs<Scheme>(s, grid, x, begin, end, in.begin, in.end, inputs, line);
    grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
      Scheme::transform_output_grads(s, dy, run, out.begin, out.end, grads, first);
    });
    for (int p = 0; p < Scheme::kProducts; ++p)
      gemm_serial<float>(in.size(), out.size(), end - begin, inputs.at(p, 0), 1, inputs.row,
                         grads.at(p, 0), grads.row, 1, sums.at(p, 0), sums.row,
                         {.accumulate = begin > tiles.begin});
  }
  transform_sums<Scheme>(s, sums, in, out, dw);
}

template <class Scheme>
void weight_grad_by(const ConvShape& s, const Parts& x, const float* dy, float* dw,
                    float* scratch) {
  const Grid grid = Scheme::grid(s);
  const Dim count = slices<Scheme>(s), part = (grid.tiles() + count - 1) / count;
  const Dim down = (s.in_c + kChannels - 1) / kChannels;
  const Dim across = (s.out_c + kChannels - 1) / kChannels;
  float* const into = count == 1 ? dw : scratch;
  parallel_chunks(count * down * across, [&](std::int64_t chunk) {
    const Dim slice = chunk / (down * across), in = chunk / across % down * kChannels,
              out = chunk % across * kChannels;
    weight_grad_part<Scheme>(s, grid, x, dy,
                             {slice * part, std::min((slice + 1) * part, grid.tiles())},
                             {in, std::min(in + kChannels, s.in_c)},
                             {out, std::min(out + kChannels, s.out_c)}, into + slice * s.weights());
  });
  if (count > 1) sum_slices(count, s.weights(), scratch, dw);
}

}  // namespace

Dim weight_grad_scratch(const ConvShape& s) {
  Dim scratch = 0;
  with_scheme(s, [&]<class Scheme>(Scheme) {
    if (const Dim count = slices<Scheme>(s); count > 1) scratch = count * s.weights();
  });
  return scratch;
}

void weight_grad(const ConvShape& s, const Parts& x, const float* dy, float* dw, float* scratch) {
  if (s.pixels() == 0) return std::fill(dw, dw + s.weights(), 0.f), void();
  with_scheme(s, [&]<class Scheme>(Scheme) { weight_grad_by<Scheme>(s, x, dy, dw, scratch); });
}

}  // namespace lamina::winograd
