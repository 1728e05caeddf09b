#include "kernels/conv_extreme.h"

#include "kernels/extremes.h"
#include "kernels/patches.h"
#include "kernels/slices.h"
#include "kernels/transpose.h"

namespace lamina::conv_extreme {
namespace {

constexpr int kSlot = 2;

// Calls f(image elements, patch elements, count) for the pieces of a position's patch that lie
// inside the image: rows of the kernel, in order.
template <class T, class F>
LAMINA_INLINE void over_patch(const ConvShape& s, T* image, Dim position, const F& f) {
  const OutputRow out = row_at(s.out, position, position + 1);
  const Dim left = s.cell(2, out.column, 0);
  const Dim begin = std::max<Dim>(-left, 0), end = std::min(s.kernel[2], s.in[2] - left);
  if (begin >= end) return;
  patches::over_kernel_rows(s, out, image, s.in_c, [&](Dim kernel_row, T* row) {
    if (row != nullptr)
      f(row + (left + begin) * s.in_c, (kernel_row * s.kernel[2] + begin) * s.in_c,
        (end - begin) * s.in_c);
  });
}

template <class T>
LAMINA_INLINE void add_multiple(T share, const T* from, Dim n, T* to) {
  const Vec<T> factor = broadcast<T>(share);
  apply<T>(
      to, n, [&](Vec<T> sum, Vec<T> v) { return sum + factor * v; }, to, from);
}

// Calls f(filter of the vector, position, share) for the extremes in the maps of a vector of
// filters.
template <class T, class F>
LAMINA_INLINE void over_extremes(const ConvShape& s, const Extremes<T>& e, Dim image, Dim filter,
                                 const F& f) {
  const Dim count = std::min<Dim>(kLanes<T>, s.out_c - filter), at = image * s.out_c + filter;
  const extremes::Columns<T> maps{e.map + image * s.out_plane() * s.out_c + filter, s.out_plane(),
                                  s.out_c, static_cast<int>(count)};
  extremes::over_places(maps, e.best + at, e.d + at, f);
}

}  // namespace

// Worth it where a map has many positions and a patch's pieces are long. A float holds the number
// of a position.
bool suits(const ConvShape& s) {
  constexpr Dim kLeastPositions = 32, kMostPositions = Dim{1} << 24;
  return s.groups == 1 && (s.kernel[2] == 1 || s.dilation[2] == 1) &&
         s.kernel[2] * s.in_c >= kLanes<float> && s.out_plane() >= kLeastPositions &&
         s.out_plane() <= kMostPositions;
}

// The batch is summed in slices, so that a thread reads the examples that it wrote before. Of a
// slice, a vector of filters at a time.
Dim slices(const ConvShape& s) { return std::min<Dim>(s.batch, 2); }

Dim weight_grad_scratch(const ConvShape& s) { return slices(s) > 1 ? slices(s) * s.weights() : 0; }

template <class T>
void weight_grad(const ConvShape& s, const T* x, const Extremes<T>& e, T* dw, T* scratch) {
  const Dim depth = s.depth(), blocks = patches::ceil_div(s.out_c, kLanes<T>);
  if (s.batch == 0) return std::fill(dw, dw + s.weights(), T{0}), void();
  const Dim count = slices(s);
  T* const into = count == 1 ? dw : scratch;
  parallel_chunks(count * blocks, [&](std::int64_t chunk) {
    const Dim slice = chunk / blocks, filter = chunk % blocks * kLanes<T>;
    const Dim filters = std::min<Dim>(kLanes<T>, s.out_c - filter);
    T* const sums = workspace<T>(kSlot, static_cast<std::size_t>(filters * depth));
    std::fill(sums, sums + filters * depth, T{0});
    for (Dim image = slice * s.batch / count; image < (slice + 1) * s.batch / count; ++image) {
      const T* const from = x + image * s.in_plane() * s.in_c;
      over_extremes(s, e, image, filter, [&](int c, Dim position, T share) {
        over_patch(s, from, position, [&](const T* pixels, Dim tap, Dim n) {
          add_multiple(share, pixels, n, sums + c * depth + tap);
        });
      });
    }
    kernels::transpose_plane(sums, depth, into + slice * s.weights() + filter, s.out_c, depth,
                             filters);
  });
  if (count > 1) sum_slices(count, s.weights(), scratch, dw);
}

// A thread turns the weights for itself: that is quicker than to share what another has written.
template <class T>
void input_grad(const ConvShape& s, const Extremes<T>& e, const T* w, T* dx) {
  const Dim depth = s.depth(), size = s.in_plane() * s.in_c;
  parallel_for(s.batch, patches::ceil_div(s.batch, threads_at_hand()), [&](Dim begin, Dim end) {
    T* const turned = workspace<T>(kSlot, static_cast<std::size_t>(s.weights()));
    kernels::transpose_plane(w, s.out_c, turned, depth, s.out_c, depth);
    std::fill(dx + begin * size, dx + end * size, T{0});
    for (Dim image = begin; image < end; ++image)
      for (Dim filter = 0; filter < s.out_c; filter += kLanes<T>)
        over_extremes(s, e, image, filter, [&](int c, Dim position, T share) {
          const T* const weights = turned + (filter + c) * depth;
          over_patch(s, dx + image * size, position, [&](T* pixels, Dim tap, Dim n) {
            add_multiple(share, weights + tap, n, pixels);
          });
        });
  });
}

#define LAMINA_INSTANTIATE(T)                                                           \
  template void weight_grad<T>(const ConvShape&, const T*, const Extremes<T>&, T*, T*); \
  template void input_grad<T>(const ConvShape&, const Extremes<T>&, const T*, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::conv_extreme
