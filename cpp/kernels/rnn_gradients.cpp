#include "kernels/rnn_gradients.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace lamina::rnn {
namespace {

constexpr Dim kRows = 112;      // of a product, at once: whole tiles, a few to share a panel
constexpr Dim kGathered = 224;  // of the inputs, for a product
constexpr Dim kWordRows = 112;  // of sums over the places of words
constexpr Dim kAhead = 4;       // words whose rows are on their way

// Weights that are packed already.
template <class T>
struct Packed {
  const T* weights;
  const T* here() const { return weights; }
};

}  // namespace

// Groups are few where a sum takes as long to store as to compute.
template <class T>
Dim GradientSums<T>::count_groups(const RnnShape& s) {
  constexpr Dim kMost = 64;
  const Dim least_places = 2 * (s.features + s.units), slices = Slices(s.batch).count;
  Dim groups = 1;
  while (2 * groups <= std::min(kMost, slices) && 2 * groups * least_places <= s.places())
    groups *= 2;
  return groups;
}

// The first group's products go to the gradients themselves.
template <class T>
Dim GradientSums<T>::partial_elements(const RnnShape& s, Dim gates, Dim kept) {
  constexpr Dim kLine = 64 / Dim{sizeof(T)};
  const Dim groups = count_groups(s);
  const Dim sums = (groups - 1) * (s.features + s.units) * gates + groups * kept;
  return (sums * s.units + kLine - 1) / kLine * kLine;
}

template <class T>
GradientSums<T>::GradientSums(const RnnGradients<T>& call, T* partial)
    : call_(call),
      s_(call.shape),
      slices_(s_.batch),
      groups_(count_groups(s_)),
      partial_(partial) {}

template <class T>
T* GradientSums<T>::kernel_sum(Dim group) const {
  if (group == 0 || call_.dkernel == nullptr) return call_.dkernel;
  return partial_ + (group - 1) * s_.features * wide();
}
template <class T>
T* GradientSums<T>::recurrent_sum(Dim group) const {
  if (group == 0 || call_.drecurrent == nullptr) return call_.drecurrent;
  return partial_ + ((groups_ - 1) * s_.features + (group - 1) * s_.units) * wide();
}
template <class T>
T* GradientSums<T>::bias_sum(Dim group) const {
  return partial_ + (groups_ - 1) * (s_.features + s_.units) * wide() + group * kept();
}

// body(from, to, count): columns of dz and the columns of the kernel they belong to.
template <class T>
template <class Body>
void GradientSums<T>::each_part(const Body& body) const {
  if (call_.kept == call_.gates) {
    body(Dim{0}, Dim{0}, wide());
  } else {
    body(Dim{0}, Dim{0}, wide() - s_.units);
    body(kept() - s_.units, wide() - s_.units, s_.units);
  }
}

// ---- The products of a block.
template <class T>
struct GradientSums<T>::Places {
  Slice slice;
  Dim t;      // the first of the block's steps in time
  Dim begin;  // where it is kept
  Dim count;

  Places(const GradientSums& sums, const Block& b)
      : slice(b.slice),
        t(sums.call_.go_backwards ? sums.s_.steps - b.end : b.begin),
        begin(slice.kept(0, t, sums.s_.steps)),
        count((b.end - b.begin) * slice.rows) {}

  // body(i, place): the batch-major places of what is kept at [begin + from, begin + to).
  template <class Body>
  void each_place(Dim from, Dim to, Dim steps, const Body& body) const {
    Dim row = from % slice.rows, at = t + from / slice.rows;
    for (Dim i = from; i < to; ++i) {
      body(i - from, slice.place(row, at, steps));
      if (++row < slice.rows) continue;
      row = 0;
      ++at;
    }
  }
};

template <class T>
void GradientSums<T>::take(const Block& block, const T* packed) const {
  take_with(block, Packed<T>{packed});
}

template <class T>
void GradientSums<T>::take_all(T* shared) const {
  const auto pack_here = [&](T* to) { pack(to); };
  const PackedWeights packed(packed_size(), shared, pack_here);
  if (s_.batch == 0) return take_with(Block{0, {0, 1}, 0, 0, true, true}, packed);
  for (Dim g = 0; g < groups_; ++g)
    each_block(g, [&](const Block& block) { take_with(block, packed); });
}

template <class T>
template <class Packed>
void GradientSums<T>::take_with(const Block& block, const Packed& packed) const {
  const Places places(*this, block);
  const bool goes_on = !block.is_first;
  if (by_inputs()) of_inputs(places, packed);
  if (call_.words == nullptr && call_.dkernel != nullptr)
    of_kernel(places, kernel_sum(block.group), goes_on);
  if (call_.drecurrent != nullptr) of_recurrent(places, recurrent_sum(block.group), goes_on);
  if (call_.dbias != nullptr || call_.drecurrent_bias != nullptr)
    of_biases(places, bias_sum(block.group), goes_on);
}

template <class T>
Dim GradientSums<T>::packed_size() const {
  return by_inputs() ? packed_b_size<T>(s_.features, wide()) : 0;
}
// The kernel transposed.
template <class T>
void GradientSums<T>::pack(T* to) const {
  if (!by_inputs()) return;
  each_part([&](Dim, Dim first, Dim count) {
    pack_b<T>(s_.features, count, call_.kernel + first, 1, wide(),
              to + packed_b_size<T>(s_.features, first));
  });
}

// dx = dz kernel^T.
template <class T>
template <class Packed>
void GradientSums<T>::of_inputs(const Places& b, const Packed& packed) const {
  const Dim n = s_.features;
  parallel_for(b.count, kRows, [&](Dim from_place, Dim to_place) {
    const T* const weights = packed.here();
    T* const rows = workspace<T>(2, static_cast<std::size_t>((to_place - from_place) * n));
    each_part([&](Dim from, Dim to, Dim count) {
      gemm_packed_serial<T>(to_place - from_place, n, count,
                            call_.dz + (b.begin + from_place) * kept() + from, kept(),
                            weights + packed_b_size<T>(n, to), rows, n, {.accumulate = to > 0});
    });
    b.each_place(from_place, to_place, s_.steps,
                 [&](Dim i, Dim place) { copy_row(call_.dx + place * n, rows + i * n, n); });
  });
}

// dkernel += x^T dz.
template <class T>
void GradientSums<T>::of_kernel(const Places& b, T* out, bool goes_on) const {
  const Dim n = s_.features, most = std::min(b.count, kGathered);
  T* const x = workspace<T>(2, static_cast<std::size_t>(most * n));
  Dim begin = 0;
  do {
    const Dim end = std::min(begin + kGathered, b.count);
    b.each_place(begin, end, s_.steps,
                 [&](Dim i, Dim place) { copy_row(x + i * n, call_.x + place * n, n); });
    each_part([&](Dim from, Dim to, Dim count) {
      gemm<T>(n, count, end - begin, x, 1, n, call_.dz + (b.begin + begin) * kept() + from, kept(),
              1, out + to, wide(), {.accumulate = goes_on || begin > 0});
    });
    begin = end;
  } while (begin < b.count);
}

// drecurrent += h^T dz, each gate with the state it saw.
template <class T>
void GradientSums<T>::of_recurrent(const Places& b, T* out, bool goes_on) const {
  const auto multiply = [&](const T* state, Dim gate, Dim count) {
    gemm<T>(s_.units, count * s_.units, b.count, state, 1, s_.units,
            call_.dz + b.begin * kept() + gate * s_.units, kept(), 1, out + gate * s_.units, wide(),
            {.accumulate = goes_on});
  };
  const Dim first = b.begin * s_.units;
  if (call_.recurrent_masks == nullptr && call_.let_in == nullptr)
    return multiply(call_.before + first, 0, call_.gates);
  for (Dim gate = 0; gate < call_.gates; ++gate) {
    const bool is_last = gate == call_.gates - 1;
    const T* state = (is_last && call_.let_in != nullptr ? call_.let_in : call_.before) + first;
    multiply(call_.recurrent_masks == nullptr ? state : masked(b, state, gate), gate, 1);
  }
}
// The states as the gate saw them.
template <class T>
const T* GradientSums<T>::masked(const Places& b, const T* state, Dim gate) const {
  const Dim n = s_.units;
  T* const entering = workspace<T>(2, static_cast<std::size_t>(b.count * n));
  const T* const masks = call_.recurrent_masks + (gate * s_.batch + b.slice.first) * n;
  for (Dim i = 0; i < b.count; i += b.slice.rows)
    multiply_row(entering + i * n, state + i * n, masks, b.slice.rows * n);
  return entering;
}

template <class T>
void GradientSums<T>::of_biases(const Places& b, T* out, bool goes_on) const {
  constexpr Dim kStrip = 4 * kLanes<T>;
  parallel_for(kept(), kStrip, [&](Dim from, Dim to) {
    T sums[kStrip];
    kernels::reduce_columns<kernels::SumOf, T>(call_.dz + b.begin * kept() + from, b.count,
                                               to - from, kept(), sums);
    if (goes_on) {
      add_row(out + from, sums, to - from);
    } else {
      copy_row(out + from, sums, to - from);
    }
  });
}

// ---- Words.
template <class T>
void GradientSums<T>::of_all_words(T* shared) const {
  const auto pack = [&](T* to) {
    if (call_.dx != nullptr) pack_b<T>(s_.features, wide(), call_.kernel, 1, wide(), to);
  };
  const PackedWeights packed(packed_b_size<T>(s_.features, wide()), shared, pack);
  const Dim words = call_.words->count(), others = most_words(s_) - words;
  // An update reads dx next, each thread its rows of the table.
  const bool streams = kCanStream && taking_lines_is_dear();
  parallel_chunks(groups_, [&](std::int64_t g) {
    const auto share = [&](Dim count, Dim of) { return count * of / groups_; };
    of_words(share(words, g), share(words, g + 1), packed.here(), kernel_sum(g), streams);
    if (call_.dx != nullptr)
      zero_row(call_.dx + (words + share(others, g)) * s_.features,
               (share(others, g + 1) - share(others, g)) * s_.features);
  });
}

// The words [begin, end): dx, and their share of the kernel's gradient, both through the sum of
// dz over the places of each word. A block of sums is used while the cache holds it.
template <class T>
void GradientSums<T>::of_words(Dim begin, Dim end, const T* weights, T* dkernel,
                               bool streams) const {
  const Distinct& words = *call_.words;
  T* const rows = workspace<T>(2, static_cast<std::size_t>(kWordRows * (s_.features + wide())));
  T* const sums = rows + kWordRows * s_.features;
  const auto word = [&](Dim slot) { return call_.x + words.value(slot) * s_.features; };
  for (Dim first = begin; first < end; first += kWordRows) {
    const Dim count = std::min(kWordRows, end - first);
    for (Dim i = 0; i < count; ++i) {
      if (i + kAhead < count) ask_for(word(first + i + kAhead), s_.features);
      copy_row(rows + i * s_.features, word(first + i), s_.features);
      sum_places(first + i, sums + i * wide());
    }
    if (dkernel != nullptr)
      gemm_serial<T>(s_.features, wide(), count, rows, 1, s_.features, sums, wide(), 1, dkernel,
                     wide(), {.accumulate = first > begin});
    if (call_.dx == nullptr) continue;
    T* const to = call_.dx + first * s_.features;
    T* const dx = streams ? rows : to;
    gemm_packed_serial<T>(count, s_.features, wide(), sums, wide(), weights, dx, s_.features, {});
    if (streams) stream_row(to, dx, count * s_.features);
  }
  if (begin == end && dkernel != nullptr) zero_row(dkernel, s_.features * wide());
}
template <class T>
void GradientSums<T>::sum_places(Dim slot, T* sum) const {
  const Distinct& words = *call_.words;
  const Dim first = words.first(slot);
  each_part([&](Dim from, Dim to, Dim count) {
    copy_row(sum + to, call_.dz + first * kept() + from, count);
    for (Dim place = words.next(first); place >= 0; place = words.next(place))
      add_row(sum + to, call_.dz + place * kept() + from, count);
  });
}

// ---- The gradients, each the sum of what the groups have.
template <class T>
void GradientSums<T>::finish(T* shared) const {
  if (call_.words != nullptr && (call_.dx != nullptr || call_.dkernel != nullptr))
    of_all_words(shared);
  // Down to two sums by pairs of neighbours, which one thread has taken as a rule; of the last two
  // every thread adds a part.
  Dim step = 1;
  for (; 4 * step <= groups_; step *= 2)
    parallel_chunks(groups_ / (2 * step),
                    [&](std::int64_t pair) { add_group(2 * step * pair, 2 * step * pair + step); });
  if (groups_ > 1) add_group(0, step);
  if (call_.dbias != nullptr)
    each_part([&](Dim from, Dim to, Dim count) {
      copy_row(call_.dbias + to, bias_sum(0) + from, count);
    });
  if (call_.drecurrent_bias != nullptr) copy_row(call_.drecurrent_bias, bias_sum(0), wide());
}

// Adds one group's sums to another's.
template <class T>
void GradientSums<T>::add_group(Dim to, Dim from) const {
  const auto add = [](T* sum, const T* term, Dim count) {
    constexpr Dim kGrain = Dim{1} << 13;
    if (sum == nullptr) return;
    parallel_for(count, kGrain,
                 [&](Dim begin, Dim end) { add_row(sum + begin, term + begin, end - begin); });
  };
  add(kernel_sum(to), kernel_sum(from), s_.features * wide());
  add(recurrent_sum(to), recurrent_sum(from), s_.units * wide());
  if (call_.dbias != nullptr || call_.drecurrent_bias != nullptr)
    add(bias_sum(to), bias_sum(from), kept());
}

template class GradientSums<float>;
template class GradientSums<double>;

}  // namespace lamina::rnn
