// The largest output of each filter: a thread keeps those of its tiles, so that no map of outputs
// is written, nor read by another core.
#include "kernels/winograd_block.h"

namespace lamina::winograd {
namespace {

// The maxima of a block of tiles have cache lines of their own.
Dim row_size(const ConvShape& s) {
  constexpr Dim kLines = 32;
  return round_up(s.out_c, kLines);
}

// Raises most[begin, end) to the outputs of a run of tiles, whose products are `from`.
template <class Scheme>
void raise(const ConvShape& s, const typename Scheme::Products& from, Dim first,
           const OutputRow& run, Dim begin, Dim end, const Epilogue<float>& e, float* most) {
  constexpr Dim kPixels = kRunTiles * Scheme::kOut;
  alignas(64) float outputs[kPixels * kPanel];
  const Dim skipped = run.column * Scheme::kOut,
            pixels = std::min(run.count * Scheme::kOut, s.out[2] - skipped);
  ConvShape part = s;
  part.out[2] -= skipped;
  part.out_c = kPanel;
  Scheme::transform_outputs(part, from, first, {0, 0, 0, 0, run.count}, 0, end - begin,
                            {e.bias == nullptr ? nullptr : e.bias + begin, e.activation}, outputs);
  over_channels(begin, end, [&](Dim c, const auto& load_some, const auto& store_some) {
    V best = load_some(most + c);
    for (Dim i = 0; i < pixels; ++i) best = vmax(best, load_some(outputs + i * kPanel + c - begin));
    store_some(most + c, best);
  });
}

template <class Scheme>
void maxima(const ConvShape& s, const Places& x, const float* weights, float* most,
            const Epilogue<float>& e, float* scratch) {
  using Products = typename Scheme::Products;
  ConvShape image = s;
  image.batch = 1;
  const Grid grid = Scheme::grid(image);
  const Dim tiles = grid.tiles(), blocks = block_count<Scheme>(image, tiles);
  parallel_chunks(s.batch * blocks, [&](std::int64_t chunk) {
    const Dim first_cell = chunk / blocks * s.in[2], i = chunk % blocks;
    const Dim begin = tiles * i / blocks, end = tiles * (i + 1) / blocks;
    float* const part = scratch + chunk * row_size(s);
    std::fill_n(part, s.out_c, -std::numeric_limits<float>::infinity());
    const auto take = [&](const Products& inputs, float*) {
      grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
        Scheme::transform_cells(image, run, 0, s.in_c, inputs, first,
                                [&](Dim cell) { return x.at(first_cell + cell, s.in_c); });
      });
    };
    block<Scheme>(image, end - begin, {0, panels(s)}, weights, take,
                  [&](const Products& products, Dim out, Dim last) {
                    grid.over_runs(begin, end, [&](const OutputRow& run, Dim first) {
                      raise<Scheme>(image, products, first, run, out, last, e, part);
                    });
                  });
  });
  for (Dim i = 0; i < s.batch; ++i, most += s.out_c) {
    const float* part = scratch + i * blocks * row_size(s);
    std::copy_n(part, s.out_c, most);
    for (Dim b = 1; b < blocks; ++b)
      apply<float>(
          most, s.out_c, [](V a, V other) { return vmax(a, other); }, most, part + b * row_size(s));
  }
}

template <class F>
bool with_line(const ConvShape& s, const F& f) {
  bool called = false;
  with_scheme(s, [&]<class Scheme>(Scheme scheme) {
    if constexpr (!std::is_same_v<Scheme, Square>) {
      f(scheme);
      called = true;
    }
  });
  return called;
}

}  // namespace

bool has_maxima(const ConvShape& s) {
  return s.out[0] == 1 && s.out[1] == 1 && pays(s) && with_line(s, [](auto) {});
}

Dim maxima_scratch(const ConvShape& s) {
  Dim tiles = 0;
  with_line(s, [&]<class Scheme>(Scheme) { tiles = Scheme::grid(s).tiles(); });
  return tiles * row_size(s);
}

void maxima_transformed(const ConvShape& s, const Places& x, const float* transformed, float* most,
                        const Epilogue<float>& e, float* scratch) {
  with_line(s, [&]<class Scheme>(Scheme) { maxima<Scheme>(s, x, transformed, most, e, scratch); });
}

}  // namespace lamina::winograd
