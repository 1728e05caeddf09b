#include "kernels/rnn_product.h"

#include <algorithm>

#include "kernels/gemm_tile.h"

namespace lamina::rnn {
namespace {

// So few that reading the weights takes longer than multiplying with them.
constexpr Dim kFewRows = 3;

using tile::kPanel;
using tile::kTileRows;

template <class T>
void ask_at_once(const Wanted<T>& wanted) {
  for (const auto& piece : wanted)
    for (Dim i = 0; i < piece.lines; ++i) __builtin_prefetch(piece.begin + i * Wanted<T>::kLine);
}

// Runs tiles, each over pieces of k as long as a piece of memory takes to ask for.
template <class T>
class Asking {
 public:
  // `slots` lines can be asked for in all; twice as slowly if there is time for it.
  Asking(const Wanted<T>& wanted, Dim slots)
      : piece_(wanted.begin()),
        end_(wanted.end()),
        step_(2 * wanted.lines() <= slots ? Wanted<T>::kLine / 2 : Wanted<T>::kLine) {}

  void run(tile::Multiply<T> multiply, tile::Job<T>& job) {
    const Dim k = job.k;
    const T* const bias = job.bias;
    Dim at = 0;
    do {
      Dim count = k - at;
      if (piece_ != end_) {
        const Dim left = piece_->lines * Wanted<T>::kLine - asked_;
        count = std::min(count, (left + step_ - 1) / step_);
        job.ahead = piece_->begin + asked_;
        job.ahead_step = step_;
        asked_ += count * step_;
        if (asked_ >= piece_->lines * Wanted<T>::kLine) {
          ++piece_;
          asked_ = 0;
        }
      } else {
        job.ahead = job.a;
        job.ahead_step = 0;
      }
      job.k = count;
      job.bias = at + count == k ? bias : nullptr;
      multiply(job);
      job.from_c = true;
      job.a += count * job.a_k;
      job.b += count * job.b_k;
      at += count;
    } while (at < k);
  }

 private:
  const typename Wanted<T>::Piece *piece_, *const end_;
  const Dim step_;  // elements
  Dim asked_ = 0;   // elements of the piece
};

}  // namespace

template <class T>
void multiply_step(Dim rows, Dim n, Dim k, const T* a, Dim a_row, const T* packed, T* c, Dim ldc,
                   const T* bias, bool accumulate, bool turned, const Wanted<T>& wanted) {
  if (rows == 0) return;
  const Dim tiles = (rows + kTileRows - 1) / kTileRows;
  const Dim most = (rows + tiles - 1) / tiles;
  constexpr int kMostVectors = 64 / kLanes<T>;
  const Dim wide = std::min(kMostVectors, tile::max_vectors(static_cast<int>(most))) * kLanes<T>;
  const bool from_last = turned && rows <= kFewRows;
  if (rows <= kFewRows) ask_at_once(wanted);  // the tiles of few rows do not ask
  tile::Job<T> job{};
  job.a_row = a_row;
  job.a_k = 1;
  job.b_k = kPanel<T>;
  job.b_panel = kPanel<T> * k;
  job.ldc = ldc;
  Asking<T> asking(wanted, (n + wide - 1) / wide * tiles * k);
  const Dim parts = (n + wide - 1) / wide;
  for (Dim part = 0; part < parts; ++part) {
    const Dim j = (from_last ? parts - 1 - part : part) * wide;
    const Dim columns = std::min(wide, n - j);
    const int vectors = static_cast<int>((columns + kLanes<T> - 1) / kLanes<T>);
    job.tail = static_cast<int>(columns % kLanes<T>);
    for (Dim i = 0; i < tiles; ++i) {
      const Dim first = rows * i / tiles, count = rows * (i + 1) / tiles - first;
      job.k = k;
      job.a = a + first * a_row;
      job.b = packed + j / kPanel<T> * job.b_panel;
      job.c = c + first * ldc + j;
      job.bias = bias == nullptr ? nullptr : bias + j;
      job.from_c = accumulate;
      const auto multiply = tile::kTable<T>.get(static_cast<int>(count), vectors, job.tail != 0);
      if (rows <= kFewRows)
        multiply(job);
      else
        asking.run(multiply, job);
    }
  }
}

#define LAMINA_INSTANTIATE(T)                                                                     \
  template void multiply_step<T>(Dim, Dim, Dim, const T*, Dim, const T*, T*, Dim, const T*, bool, \
                                 bool, const Wanted<T>&);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::rnn
