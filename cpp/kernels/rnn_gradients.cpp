#include "kernels/rnn_gradients.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/rnn_rows.h"

namespace lamina {
namespace {

using namespace rnn;

constexpr Dim kRows = 112;     // of a product, at once: whole tiles, a few to share a panel
constexpr Dim kWordRows = 28;  // the same where each row is a sum first
constexpr Dim kMaskedRows = 512;

template <class T>
struct Scratch {
  T *packed, *sums, *rows, *entering, *bias;
  std::size_t bytes;

  Scratch(const RnnShape& s, Dim gates, Dim kept, bool masked, std::byte* memory) {
    Carver carve(memory);
    const Dim wide = gates * s.units, words = most_words(s);
    packed = carve.take<T>(packed_b_size<T>(s.features, wide));
    sums = carve.take<T>(words * wide);
    rows = carve.take<T>(words * s.features);
    entering = carve.take<T>(masked ? s.places() * s.units : 0);
    bias = carve.take<T>(kept * s.units);
    bytes = carve.used();
  }
};

template <class T>
class Gradients {
 public:
  Gradients(const RnnGradients<T>& call, std::byte* scratch)
      : call_(call),
        s_(call.shape),
        scratch_(s_, call.gates, call.kept, call.recurrent_masks != nullptr, scratch) {}

  void run() const {
    if (call_.words != nullptr) {
      if (call_.dx != nullptr || call_.dkernel != nullptr) of_words();
    } else {
      if (call_.dx != nullptr) of_inputs();
      if (call_.dkernel != nullptr) of_kernel();
    }
    if (call_.drecurrent != nullptr) of_recurrent();
    if (call_.dbias != nullptr || call_.drecurrent_bias != nullptr) of_biases();
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

  // dx = dz kernel^T
  void of_inputs() const {
    each_part([&](Dim, Dim to, Dim count) {
      pack_b<T>(s_.features, count, call_.kernel + to, 1, wide(), packed_part(to));
    });
    parallel_for(s_.places(), kRows, [&](Dim begin, Dim end) {
      each_part([&](Dim from, Dim to, Dim count) {
        gemm_packed_serial<T>(end - begin, s_.features, count, call_.dz + begin * kept() + from,
                              kept(), packed_part(to), call_.dx + begin * s_.features, s_.features,
                              {.accumulate = to > 0});
      });
    });
  }
  T* packed_part(Dim column) const {
    return scratch_.packed + packed_b_size<T>(s_.features, column);
  }

  // dkernel = x^T dz
  void of_kernel() const {
    each_part([&](Dim from, Dim to, Dim count) {
      gemm<T>(s_.features, count, s_.places(), call_.x, 1, s_.features, call_.dz + from, kept(), 1,
              call_.dkernel + to, wide(), {});
    });
  }

  // Both through the sum of dz over the places of each word.
  void of_words() const {
    const Distinct& words = *call_.words;
    if (call_.dx != nullptr)
      pack_b<T>(s_.features, wide(), call_.kernel, 1, wide(), scratch_.packed);
    parallel_for(words.count(), kWordRows, [&](Dim begin, Dim end) {
      for (Dim slot = begin; slot < end; ++slot) {
        copy_row(scratch_.rows + slot * s_.features, call_.x + words.value(slot) * s_.features,
                 s_.features);
        sum_places(slot);
      }
      if (call_.dx != nullptr)
        gemm_packed_serial<T>(end - begin, s_.features, wide(), scratch_.sums + begin * wide(),
                              wide(), scratch_.packed, call_.dx + begin * s_.features, s_.features,
                              {});
    });
    if (call_.dx != nullptr)
      zero_row(call_.dx + words.count() * s_.features,
               (most_words(s_) - words.count()) * s_.features);
    if (call_.dkernel != nullptr)
      gemm<T>(s_.features, wide(), words.count(), scratch_.rows, 1, s_.features, scratch_.sums,
              wide(), 1, call_.dkernel, wide(), {});
  }
  void sum_places(Dim slot) const {
    const Distinct& words = *call_.words;
    T* sum = scratch_.sums + slot * wide();
    const Dim first = words.first(slot);
    each_part([&](Dim from, Dim to, Dim count) {
      copy_row(sum + to, call_.dz + first * kept() + from, count);
      for (Dim place = words.next(first); place >= 0; place = words.next(place))
        add_row(sum + to, call_.dz + place * kept() + from, count);
    });
  }

  // drecurrent = h^T dz, each gate with the state it saw.
  void of_recurrent() const {
    const auto multiply = [&](const T* state, Dim gate, Dim count) {
      gemm<T>(s_.units, count * s_.units, s_.places(), state, 1, s_.units,
              call_.dz + gate * s_.units, kept(), 1, call_.drecurrent + gate * s_.units, wide(),
              {});
    };
    if (call_.recurrent_masks == nullptr && call_.let_in == nullptr)
      return multiply(call_.before, 0, call_.gates);
    for (Dim gate = 0; gate < call_.gates; ++gate) {
      const bool last = gate == call_.gates - 1;
      const T* state = last && call_.let_in != nullptr ? call_.let_in : call_.before;
      multiply(call_.recurrent_masks == nullptr ? state : masked(state, gate), gate, 1);
    }
  }
  const T* masked(const T* state, Dim gate) const {
    parallel_for(s_.places(), kMaskedRows, [&](Dim begin, Dim end) {
      for (Dim place = begin; place < end; ++place) {
        const Dim row = gate * s_.batch + place / s_.steps;
        multiply_row(scratch_.entering + place * s_.units, state + place * s_.units,
                     call_.recurrent_masks + row * s_.units, s_.units);
      }
    });
    return scratch_.entering;
  }

  void of_biases() const {
    constexpr Dim kStrip = 4 * kLanes<T>;
    parallel_for(kept(), kStrip, [&](Dim begin, Dim end) {
      kernels::reduce_columns<kernels::SumOf, T>(call_.dz + begin, s_.places(), end - begin, kept(),
                                                 scratch_.bias + begin);
    });
    if (call_.dbias != nullptr)
      each_part([&](Dim from, Dim to, Dim count) {
        copy_row(call_.dbias + to, scratch_.bias + from, count);
      });
    if (call_.drecurrent_bias != nullptr) copy_row(call_.drecurrent_bias, scratch_.bias, wide());
  }

  const RnnGradients<T>& call_;
  const RnnShape& s_;
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
