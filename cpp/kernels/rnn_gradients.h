// The gradients of a recurrent layer's inputs, kernels and biases: products of dz, the gradient
// before the activations, taken block by block of what the pass over the steps leaves, while a
// cache holds it. Internal to the recurrent kernels.
#pragma once

#include "kernels/rnn_rows.h"

namespace lamina::rnn {

template <class T>
struct RnnGradients {
  RnnShape shape;
  Dim gates;  // of the kernels
  Dim kept;   // of dz. One more: the input's product has the last one instead of the one before it
  bool go_backwards;
  const T* dz;            // [places, kept, units]
  const T* x;             // [batch, steps, features]; with words: the table [rows, features]
  const Distinct* words;  // null: no table
  const T* kernel;        // [features, gates * units]
  const T* before;        // [places, units]: h before the step
  const T* let_in;        // the same behind the reset gate, for the last gate; null: no such gate
  const T* recurrent_masks;  // [gates, batch, units]; may be null
  // Null: not wanted.
  T* dx;               // like x; with words: of the distinct rows, one after the other, then zeros
  T* dkernel;          // [features, gates * units]
  T* drecurrent;       // [units, gates * units]
  T* dbias;            // [gates * units], of the input's product
  T* drecurrent_bias;  // [gates * units], of the recurrent product
};

// Rows and steps whose dz a cache holds while all products take it, and enough for the sums to be
// read and written seldom.
constexpr Dim kBlockPlaces = 448;

// The gradients of the weights are sums over all steps of all rows. Groups of slices have sums of
// their own, which are then added up. The groups depend on the shape only, and with them and the
// blocks the order of the terms.
template <class T>
class GradientSums {
 public:
  // `partial` holds partial_elements() for the sums.
  GradientSums(const RnnGradients<T>& call, T* partial);
  static Dim partial_elements(const RnnShape& shape, Dim gates, Dim kept);

  static Dim count_groups(const RnnShape& shape);
  Dim groups() const { return groups_; }

  // What take() wants packed.
  Dim packed_size() const;
  void pack(T* to) const;

  // The steps [begin, end), in the order of processing, of a slice of the group.
  struct Block {
    Dim group;
    Slice slice;
    Dim begin, end;
    bool is_first;  // of its group
    bool has_last_step;
  };
  // body(block) from the group's first slice to the last, in each from the last steps to the first.
  template <class Body>
  void each_block(Dim group, const Body& body) const {
    const Dim first = slices_.count * group / groups_, last = slices_.count * (group + 1) / groups_;
    for (Dim i = first; i < last; ++i) {
      const Slice slice = slices_[i];
      const StepBlocks blocks(s_.steps, slice.rows, kBlockPlaces);
      for (Dim b = blocks.count - 1; b >= 0; --b) {
        const bool has_last = b == blocks.count - 1;
        body(Block{group, slice, blocks.begin(b), blocks.begin(b + 1), i == first && has_last,
                   has_last});
      }
    }
  }
  // Adds a block's products, on the calling thread.
  void take(const Block& block, const T* packed) const;
  // All blocks, each with all threads. `shared` is the place of large packed weights.
  void take_all(T* shared) const;
  // When all blocks are taken.
  void finish(T* shared) const;

 private:
  Dim wide() const { return call_.gates * s_.units; }
  Dim kept() const { return call_.kept * s_.units; }
  bool by_inputs() const { return call_.words == nullptr && call_.dx != nullptr; }
  template <class Body>
  void each_part(const Body& body) const;
  template <class Packed>
  void take_with(const Block& block, const Packed& packed) const;

  struct Places;  // of a block
  template <class Packed>
  void of_inputs(const Places& b, const Packed& packed) const;
  void of_kernel(const Places& b, T* out, bool goes_on) const;
  void of_recurrent(const Places& b, T* out, bool goes_on) const;
  const T* masked(const Places& b, const T* state, Dim gate) const;
  void of_biases(const Places& b, T* out, bool goes_on) const;

  void of_all_words(T* shared) const;
  void of_words(Dim begin, Dim end, const T* weights, T* dkernel, bool streams) const;
  void sum_places(Dim slot, T* sum) const;

  T* kernel_sum(Dim group) const;
  T* recurrent_sum(Dim group) const;
  T* bias_sum(Dim group) const;
  void add_group(Dim to, Dim from) const;

  const RnnGradients<T>& call_;
  const RnnShape& s_;
  const Slices slices_;
  const Dim groups_;
  T* const partial_;
};

// What a backward pass works on for the rows of one slice: `kStates` arrays [rows, units].
template <class T>
Dim state_elements(Dim units) {
  constexpr Dim kStates = 4, kLine = 64 / Dim{sizeof(T)};
  return (kStates * kSliceRows * units + kLine - 1) / kLine * kLine;
}

template <class T>
struct BackwardScratch {
  T *shared, *memory;  // packed weights; sums and states
  std::size_t bytes;

  // `packed` elements are what the pass packs.
  BackwardScratch(const RnnShape& s, Dim gates, Dim kept, Dim packed, std::byte* to) {
    Carver carve(to);
    shared = carve.take<T>(shared_weights(packed + packed_b_size<T>(s.features, gates * s.units)));
    const Dim state = state_elements<T>(s.units), groups = GradientSums<T>::count_groups(s);
    memory = carve.take<T>(std::max(
        GradientSums<T>::partial_elements(s, gates, kept) + groups * state,  // at the same time
        Slices(s.batch).count * state));                                     // one after the other
    bytes = carve.used();
  }
};

// A backward pass and the sums over what it leaves. The pass has packed_size() and pack(to) for its
// weights; work(slice, state, weights) is what it works on; start(work), run(work, begin, end),
// which goes through the steps from end - 1 to begin, finish(work) ends it.
//
// While every thread has a group of slices, it takes the products of a block of steps right after
// the steps. Else all slices go through all their steps before all threads share the products.
template <class T, class Pass>
void run_backward(const Pass& pass, const RnnGradients<T>& call,
                  const BackwardScratch<T>& scratch) {
  const RnnShape& s = call.shape;
  const GradientSums<T> sums(call, scratch.memory);
  const Slices slices(s.batch);
  const Dim state = state_elements<T>(s.units), pass_size = pass.packed_size();
  const bool together =
      s.batch > 0 && sums.groups() >= std::min<Dim>(threads_at_hand(), slices.count);
  const auto pack = [&](T* to) {
    pass.pack(to);
    if (together) sums.pack(to + pass_size);
  };
  const PackedWeights packed(pass_size + (together ? sums.packed_size() : 0), scratch.shared, pack);
  if (together) {
    T* const states = scratch.memory + GradientSums<T>::partial_elements(s, call.gates, call.kept);
    parallel_chunks(sums.groups(), [&](std::int64_t group) {
      const T* const weights = packed.here();
      sums.each_block(group, [&](const auto& block) {
        auto work = pass.work(block.slice, states + group * state, weights);
        if (block.has_last_step) pass.start(work);
        pass.run(work, block.begin, block.end);
        sums.take(block, weights + pass_size);
        if (block.begin == 0) pass.finish(work);
      });
    });
  } else {
    parallel_chunks(slices.count, [&](std::int64_t i) {
      auto work = pass.work(slices[i], scratch.memory + i * state, packed.here());
      pass.start(work);
      pass.run(work, 0, s.steps);
      pass.finish(work);
    });
    sums.take_all(scratch.shared);
  }
  sums.finish(scratch.shared);
}

}  // namespace lamina::rnn
