// What the passes over a sequence share: rows, slices of the batch, scratch. Internal to the
// recurrent kernels.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "base/parallel.h"
#include "base/shared_lines.h"
#include "kernels/gemm.h"
#include "kernels/prefetch.h"
#include "kernels/rnn_cells.h"
#include "kernels/rnn_slices.h"
#include "kernels/stream.h"

namespace lamina::rnn {

// ---- Rows.
template <class T>
void copy_row(T* to, const T* from, Dim n) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}
template <class T>
void zero_row(T* to, Dim n) {
  std::memset(to, 0, static_cast<std::size_t>(n) * sizeof(T));
}
template <class T>
void copy_or_zero(T* to, const T* from, Dim n) {
  if (from != nullptr) {
    copy_row(to, from, n);
  } else {
    zero_row(to, n);
  }
}
template <class T>
void add_row(T* to, const T* term, Dim n) {
  apply<T>(
      to, n, [](Vec<T> a, Vec<T> b) { return a + b; }, to, term);
}
template <class T>
void multiply_row(T* to, const T* a, const T* b, Dim n) {
  apply<T>(
      to, n, [](Vec<T> p, Vec<T> q) { return p * q; }, a, b);
}

// Copies past the caches what another thread has read before, or will read next.
template <class T>
void stream_row(T* to, const T* from, Dim n) {
  stream_bytes(reinterpret_cast<std::byte*>(to), reinterpret_cast<const std::byte*>(from),
               static_cast<std::size_t>(n) * sizeof(T));
  finish_streams();
}

// Is what a forward pass keeps for the backward pass to be written past the caches? `elements` are
// those of a row's step, in buffers that begin at `begins`. It is where the caches keep none of it
// anyway: then memory need not be read before it is written. And where lines are dear to take that
// other threads have read: the sum over a word's places goes through all slices.
template <class T>
bool streams_kept(const RnnShape& s, Dim elements, std::initializer_list<const T*> begins) {
  constexpr std::size_t kMuch = std::size_t{16} << 20;
  if (!kCanStream || s.units % kLanes<T> != 0) return false;
  for (const T* begin : begins)
    if (reinterpret_cast<std::uintptr_t>(begin) % sizeof(Vec<T>) != 0) return false;
  return static_cast<std::size_t>(s.places() * elements) * sizeof(T) >= kMuch ||
         (s.table > 0 && taking_lines_is_dear());
}

constexpr Dim kProjectedSteps = 28;  // steps projected at once: a few tiles of the product
inline Dim projected_steps(const RnnShape& s) { return std::min(s.steps, kProjectedSteps); }
// A block's projections lie in memory of the threads. Only where the backward pass follows, whose
// memory the forward pass may use, and the batch is small, those of all slices lie there.
inline bool projects_in_scratch(const RnnShape& s, bool keeps) {
  constexpr Dim kMostSlices = 8;
  return keeps && s.table == 0 && Slices(s.batch).count <= kMostSlices;
}
// Elements of scratch for projections: of the distinct words, or of a block of every slice.
inline Dim projected_elements(const RnnShape& s, Dim wide, bool keeps) {
  if (s.table > 0) return Distinct::most(s.places(), s.table) * wide;
  return projects_in_scratch(s, keeps) ? s.batch * projected_steps(s) * wide : 0;
}
// Where those of a slice begin; `scratch` is that of all slices.
template <class T>
T* projected_of(const Slice& slice, const RnnShape& s, Dim wide, bool keeps, T* scratch) {
  const Dim block = projected_steps(s) * wide;
  if (projects_in_scratch(s, keeps)) return scratch + slice.first * block;
  return workspace<T>(2, static_cast<std::size_t>(slice.rows * block));
}

// ---- Weights packed for the products of one job. Every thread packs small ones for itself, when
// it comes to its first chunk: a copy for all would travel from core to core in every call. Large
// ones are packed once, to `shared`.
constexpr Dim kMostOwnWeights = Dim{1} << 20;
constexpr Dim shared_weights(Dim size) { return size <= kMostOwnWeights ? 0 : size; }
inline std::uint64_t new_job() {
  static std::atomic<std::uint64_t> jobs{0};
  return jobs.fetch_add(1, std::memory_order_relaxed) + 1;
}
// The job whose weights the calling thread's workspace holds.
inline std::uint64_t& packed_job() {
  thread_local std::uint64_t job = 0;
  return job;
}
template <class T, class Pack>
class PackedWeights {
 public:
  // pack(to) writes `size` elements.
  PackedWeights(Dim size, T* shared, const Pack& pack)
      : size_(size), shared_(shared_weights(size) > 0 ? shared : nullptr), pack_(pack) {
    if (shared_ != nullptr) pack_(shared_);
  }
  const T* here() const {
    if (shared_ != nullptr) return shared_;
    T* const own = workspace<T>(3, static_cast<std::size_t>(size_));
    if (packed_job() != job_) pack_(own);
    packed_job() = job_;
    return own;
  }

 private:
  Dim size_;
  T* shared_;
  const Pack& pack_;
  std::uint64_t job_ = new_job();
};

// Rows for whose projection packing the weights does not pay.
constexpr Dim kUnpackedRows = 8 * kProjectedSteps;
inline bool projects_unpacked(const RnnShape& s) {
  return Slices(s.batch).count == 1 && s.places() <= kUnpackedRows;
}

// The projected input of every distinct row of a table, one after the other. `shared` is the place
// of a large packed kernel.
template <class T>
void project_words(const Distinct& words, Dim features, Dim wide, const T* table, const T* kernel,
                   T* shared, const T* bias, T* projected) {
  const bool packs = words.count() > kUnpackedRows;
  const auto pack = [=](T* to) {
    if (packs) pack_b<T>(wide, features, kernel, wide, 1, to);
  };
  const PackedWeights packed(packs ? packed_b_size<T>(wide, features) : 0, shared, pack);
  const bool streams = kCanStream && taking_lines_is_dear();
  parallel_for(words.count(), 2 * kProjectedSteps, [&](Dim begin, Dim end) {
    const Dim count = end - begin;
    T* const rows = workspace<T>(2, static_cast<std::size_t>(count * (features + wide)));
    for (Dim i = 0; i < count; ++i)
      copy_row(rows + i * features, table + words.value(begin + i) * features, features);
    T* const to = projected + begin * wide;
    T* const out = streams ? rows + count * features : to;
    if (packs) {
      gemm_packed_serial<T>(count, wide, features, rows, features, packed.here(), out, wide,
                            {.bias = bias});
    } else {
      gemm_serial<T>(count, wide, features, rows, features, 1, kernel, wide, 1, out, wide,
                     {.bias = bias});
    }
    if (streams) stream_row(to, out, count * wide);
  });
}
inline Dim most_words(const RnnShape& s) { return Distinct::most(s.places(), s.table); }

constexpr std::size_t kAlign = 64;
template <class T>
std::size_t aligned_bytes(Dim elements) {
  return (static_cast<std::size_t>(elements) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
}

// Hands out pieces of a block of memory; with no block, measures.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(Dim elements) {
    std::byte* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += aligned_bytes<T>(elements);
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

// The recurrent kernel [units, gates * units], packed for the products of a step. Gates that see
// the same state form a group, which is one product.
template <class T>
class PackedGates {
 public:
  static Dim size(Dim units, Dim gates) { return gates * packed_b_size<T>(units, units); }

  PackedGates(Dim units, Dim gates, const T* recurrent)
      : recurrent_(recurrent), units_(units), wide_(gates * units) {}
  // Where a gate lies from the begin of the packed kernel.
  Dim at(Dim gate) const { return size(units_, gate); }
  // For products with the group's columns, and with these transposed.
  void pack(Dim first, Dim count, T* to) const {
    pack_b<T>(count * units_, units_, recurrent_ + first * units_, wide_, 1, to + at(first));
  }
  void pack_transposed(Dim first, Dim count, T* to) const {
    pack_b<T>(units_, count * units_, recurrent_ + first * units_, 1, wide_, to + at(first));
  }

 private:
  const T* recurrent_;
  Dim units_, wide_;
};

// body(activations) with the usual pair compiled in, or the chosen one.
template <class T, class Body>
void with_activations(const RnnOptions& o, bool gated, const Body& body) {
  const RnnOptions usual;
  if (o.activation == usual.activation &&
      (!gated || o.recurrent_activation == usual.recurrent_activation)) {
    body(UsualActivations<T>{});
  } else {
    body(ChosenActivations<T>{o.activation, o.recurrent_activation});
  }
}

}  // namespace lamina::rnn
