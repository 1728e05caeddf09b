#include "kernels/rnn_gradients.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/rnn_rows.h"

namespace lamina {
namespace {

using namespace rnn;

constexpr Dim kRows = 112;      // of a product, at once: whole tiles, a few to share a panel
constexpr Dim kWordRows = 112;  // of sums over the places of words
constexpr Dim kMaskedRows = 512;
constexpr Dim kBlockElements = Dim{1} << 17;  // of dz that all products take before the next

// The gradients of the weights are sums over all steps of all rows. Groups of rows have sums of
// their own, which are then added up: so a thread reads what it has written in the pass over the
// steps, and nobody else. The groups depend on the shape only, and with them the order of the
// terms. Groups are few where a sum takes as long to store as to compute.
Dim count_groups(const RnnShape& s) {
  constexpr Dim kMost = 64;
  const Dim least_places = 2 * (s.features + s.units);
  Dim groups = 1;
  while (2 * groups <= std::min({kMost, s.batch, std::max<Dim>(2, Slices(s.batch).count)}) &&
         2 * groups * least_places <= s.places())
    groups *= 2;
  return groups;
}

template <class T>
struct Scratch {
  T *packed, *entering;
  T* partial;    // of each group: the kernel's gradient, the recurrent kernel's, the biases'
  Dim elements;  // of one group's
  std::size_t bytes;

  Scratch(const RnnShape& s, Dim gates, Dim kept, bool masked, std::byte* memory) {
    Carver carve(memory);
    const Dim wide = gates * s.units;
    packed = carve.take<T>(shared_weights(packed_b_size<T>(s.features, wide)));
    entering = carve.take<T>(masked ? s.places() * s.units : 0);
    elements = (s.features + s.units) * wide + kept * s.units;
    partial = carve.take<T>(count_groups(s) * elements);
    bytes = carve.used();
  }
};

template <class T>
class Gradients {
 public:
  Gradients(const RnnGradients<T>& call, std::byte* scratch)
      : call_(call),
        s_(call.shape),
        groups_(count_groups(s_)),
        scratch_(s_, call.gates, call.kept, call.recurrent_masks != nullptr, scratch) {}

  void run() const {
    if (call_.words != nullptr && (call_.dx != nullptr || call_.dkernel != nullptr)) of_all_words();
    const bool by_inputs = call_.words == nullptr && call_.dx != nullptr;
    const auto pack = [&](T* to) {
      if (by_inputs) pack_parts(to);
    };
    const PackedWeights packed(by_inputs ? packed_b_size<T>(s_.features, wide()) : 0,
                               scratch_.packed, pack);
    if (groups_ < threads_at_hand()) {
      // The products of one group after the other are shared out.
      for (Dim g = 0; g < groups_; ++g) sum_group(g, s_.places(), packed);
    } else {
      parallel_chunks(groups_, [&](std::int64_t g) { sum_group(g, block_of_places(), packed); });
    }
    add_groups();
  }

 private:
  Dim wide() const { return call_.gates * s_.units; }
  Dim kept() const { return call_.kept * s_.units; }

  // body(from, to, count): columns of dz and the columns of the kernel they belong to.
  template <class Body>
  void each_part(const Body& body) const {
    if (call_.kept == call_.gates) {
      body(Dim{0}, Dim{0}, wide());
    } else {
      body(Dim{0}, Dim{0}, wide() - s_.units);
      body(kept() - s_.units, wide() - s_.units, s_.units);
    }
  }

  // As many places as a cache holds dz of while all products take it.
  Dim block_of_places() const {
    return std::max<Dim>(1, kBlockElements / std::max<Dim>(1, kept()) / kRows) * kRows;
  }

  // dx = dz kernel^T over the places [begin, end).
  template <class Packed>
  void of_inputs(Dim begin, Dim end, const Packed& packed) const {
    parallel_for(end - begin, kRows, [&](Dim from_place, Dim to_place) {
      const T* const weights = packed.here();
      const Dim place = begin + from_place;
      each_part([&](Dim from, Dim to, Dim count) {
        gemm_packed_serial<T>(to_place - from_place, s_.features, count,
                              call_.dz + place * kept() + from, kept(),
                              weights + packed_b_size<T>(s_.features, to),
                              call_.dx + place * s_.features, s_.features, {.accumulate = to > 0});
      });
    });
  }
  // The kernel transposed.
  void pack_parts(T* to) const {
    each_part([&](Dim, Dim first, Dim count) {
      pack_b<T>(s_.features, count, call_.kernel + first, 1, wide(),
                to + packed_b_size<T>(s_.features, first));
    });
  }

  void of_all_words() const {
    const auto pack = [&](T* to) {
      if (call_.dx != nullptr) pack_b<T>(s_.features, wide(), call_.kernel, 1, wide(), to);
    };
    const PackedWeights packed(packed_b_size<T>(s_.features, wide()), scratch_.packed, pack);
    const Dim words = call_.words->count();
    parallel_chunks(groups_, [&](std::int64_t g) {
      of_words(words * g / groups_, words * (g + 1) / groups_, packed.here(), kernel_sum(g));
    });
    if (call_.dx != nullptr)
      zero_row(call_.dx + words * s_.features, (most_words(s_) - words) * s_.features);
  }

  // The words [begin, end): dx, and their share of the kernel's gradient, both through the sum of
  // dz over the places of each word. A block of sums is used while the cache holds it.
  void of_words(Dim begin, Dim end, const T* weights, T* dkernel) const {
    const Distinct& words = *call_.words;
    T* const rows = workspace<T>(2, static_cast<std::size_t>(kWordRows * (s_.features + wide())));
    T* const sums = rows + kWordRows * s_.features;
    for (Dim first = begin; first < end; first += kWordRows) {
      const Dim count = std::min(kWordRows, end - first);
      for (Dim i = 0; i < count; ++i) {
        copy_row(rows + i * s_.features, call_.x + words.value(first + i) * s_.features,
                 s_.features);
        sum_places(first + i, sums + i * wide());
      }
      if (call_.dx != nullptr)
        gemm_packed_serial<T>(count, s_.features, wide(), sums, wide(), weights,
                              call_.dx + first * s_.features, s_.features, {});
      if (dkernel != nullptr)
        gemm_serial<T>(s_.features, wide(), count, rows, 1, s_.features, sums, wide(), 1, dkernel,
                       wide(), {.accumulate = first > begin});
    }
    if (begin == end && dkernel != nullptr) zero_row(dkernel, s_.features * wide());
  }
  void sum_places(Dim slot, T* sum) const {
    const Distinct& words = *call_.words;
    const Dim first = words.first(slot);
    each_part([&](Dim from, Dim to, Dim count) {
      copy_row(sum + to, call_.dz + first * kept() + from, count);
      for (Dim place = words.next(first); place >= 0; place = words.next(place))
        add_row(sum + to, call_.dz + place * kept() + from, count);
    });
  }

  bool is_alone() const { return groups_ == 1; }  // and writes to the outputs
  T* kernel_sum(Dim g) const {
    return call_.dkernel == nullptr || is_alone() ? call_.dkernel
                                                  : scratch_.partial + g * scratch_.elements;
  }
  // What the rows of group g add to the gradients of the weights, and their dx: block by block.
  template <class Packed>
  void sum_group(Dim g, Dim block, const Packed& packed) const {
    T* const partial = scratch_.partial + g * scratch_.elements;
    T* const recurrent = is_alone() ? call_.drecurrent : partial + s_.features * wide();
    const Dim first = s_.batch * g / groups_ * s_.steps;
    const Dim last = s_.batch * (g + 1) / groups_ * s_.steps;
    Dim begin = first;
    do {
      const Dim end = std::min(begin + block, last);
      const bool goes_on = begin > first;
      if (call_.words == nullptr && call_.dx != nullptr) of_inputs(begin, end, packed);
      if (call_.words == nullptr && call_.dkernel != nullptr)
        of_kernel(begin, end, kernel_sum(g), goes_on);
      if (call_.drecurrent != nullptr) of_recurrent(begin, end, recurrent, goes_on);
      if (call_.dbias != nullptr || call_.drecurrent_bias != nullptr)
        of_biases(begin, end, partial + (s_.features + s_.units) * wide(), goes_on);
      begin = end;
    } while (begin < last);
  }

  // dkernel = x^T dz over the places [begin, end).
  void of_kernel(Dim begin, Dim end, T* out, bool goes_on) const {
    each_part([&](Dim from, Dim to, Dim count) {
      gemm<T>(s_.features, count, end - begin, call_.x + begin * s_.features, 1, s_.features,
              call_.dz + begin * kept() + from, kept(), 1, out + to, wide(),
              {.accumulate = goes_on});
    });
  }

  // drecurrent = h^T dz over the places [begin, end), each gate with the state it saw.
  void of_recurrent(Dim begin, Dim end, T* out, bool goes_on) const {
    const auto multiply = [&](const T* state, Dim gate, Dim count) {
      gemm<T>(s_.units, count * s_.units, end - begin, state + begin * s_.units, 1, s_.units,
              call_.dz + begin * kept() + gate * s_.units, kept(), 1, out + gate * s_.units, wide(),
              {.accumulate = goes_on});
    };
    if (call_.recurrent_masks == nullptr && call_.let_in == nullptr)
      return multiply(call_.before, 0, call_.gates);
    for (Dim gate = 0; gate < call_.gates; ++gate) {
      const bool is_last = gate == call_.gates - 1;
      const T* state = is_last && call_.let_in != nullptr ? call_.let_in : call_.before;
      if (call_.recurrent_masks != nullptr) state = masked(state, gate, begin, end);
      multiply(state, gate, 1);
    }
  }
  // The states at the places [begin, end) as the gate saw them.
  const T* masked(const T* state, Dim gate, Dim begin, Dim end) const {
    parallel_for(end - begin, kMaskedRows, [&](Dim from, Dim to) {
      for (Dim place = begin + from; place < begin + to; ++place) {
        const Dim row = gate * s_.batch + place / s_.steps;
        multiply_row(scratch_.entering + place * s_.units, state + place * s_.units,
                     call_.recurrent_masks + row * s_.units, s_.units);
      }
    });
    return scratch_.entering;
  }

  // By strips of columns, each over blocks of places that depend on the shape only.
  void of_biases(Dim begin, Dim end, T* out, bool goes_on) const {
    constexpr Dim kStrip = 4 * kLanes<T>;
    parallel_for(kept(), kStrip, [&](Dim from, Dim to) {
      bool adds = goes_on;
      Dim first = begin;
      do {
        const Dim last = std::min(first + block_of_places(), end);
        T sums[kStrip];
        kernels::reduce_columns<kernels::SumOf, T>(call_.dz + first * kept() + from, last - first,
                                                   to - from, kept(), sums);
        if (adds) {
          add_row(out + from, sums, to - from);
        } else {
          copy_row(out + from, sums, to - from);
        }
        adds = true;
        first = last;
      } while (first < end);
    });
  }

  // The gradients, each the sum of what the groups have.
  void add_groups() const {
    const Dim kernel = s_.features * wide(), recurrent = s_.units * wide();
    if (!is_alone()) {
      add_groups(0, kernel, call_.dkernel);
      add_groups(kernel, recurrent, call_.drecurrent);
    }
    const Dim bias = kernel + recurrent;
    if (call_.dbias != nullptr)
      each_part(
          [&](Dim from, Dim to, Dim count) { add_groups(bias + from, count, call_.dbias + to); });
    add_groups(bias, wide(), call_.drecurrent_bias);
  }
  void add_groups(Dim at, Dim count, T* out) const {
    constexpr Dim kGrain = Dim{1} << 14;
    if (out == nullptr) return;
    parallel_for(count, kGrain, [&](Dim begin, Dim end) {
      const T* const first = scratch_.partial + at + begin;
      copy_row(out + begin, first, end - begin);
      for (Dim g = 1; g < groups_; ++g)
        add_row(out + begin, first + g * scratch_.elements, end - begin);
    });
  }

  const RnnGradients<T>& call_;
  const RnnShape& s_;
  const Dim groups_;
  const Scratch<T> scratch_;
};

}  // namespace

template <class T>
std::size_t rnn_gradients_scratch(const RnnShape& shape, Dim gates, Dim kept, bool masked) {
  return Scratch<T>(shape, gates, kept, masked, nullptr).bytes;
}

template <class T>
void rnn_gradients(const RnnGradients<T>& call, std::byte* scratch) {
  Gradients<T>(call, scratch).run();
}

#define LAMINA_INSTANTIATE(T)                                                     \
  template std::size_t rnn_gradients_scratch<T>(const RnnShape&, Dim, Dim, bool); \
  template void rnn_gradients<T>(const RnnGradients<T>&, std::byte*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
