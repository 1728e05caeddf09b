#include "op_cases.h"

using namespace lamina;

namespace {

Tensor mask_of(Shape shape, const std::vector<int>& valid) {
  Tensor mask(Spec{DType::boolean, std::move(shape)});
  for (std::size_t i = 0; i < valid.size(); ++i) mask.data<bool>()[i] = valid[i] != 0;
  return mask;
}

// The inputs in order; weights small enough to keep the cells off saturation.
std::vector<Tensor> gru_inputs(bool after, Dim batch, Dim steps, Dim features, Dim units,
                               std::initializer_list<Tensor> more = {}) {
  const Dim wide = 3 * units;
  std::vector<Tensor> in{uniform({batch, steps, features}, -1, 1, 1),
                         uniform({features, wide}, -0.6, 0.6, 2),
                         uniform({units, wide}, -0.6, 0.6, 3),
                         uniform(after ? Shape{2, wide} : Shape{wide}, -0.5, 0.5, 4),
                         uniform({batch, units}, -0.8, 0.8, 5)};
  in.insert(in.end(), more);
  return in;
}

// Rows that begin with masked steps, end with them, have them between, and consist of them.
const Tensor kMask = mask_of({4, 5}, {0, 0, 1, 1, 1,  //
                                      1, 1, 1, 0, 0,  //
                                      1, 0, 1, 0, 1,  //
                                      0, 0, 0, 0, 0});
const Tensor kDropout = uniform({3, 4, 3}, 0.5, 1.5, 7);

OpCase gru_case(bool after, std::vector<Tensor> in, Attrs attrs = {}, int output = 0) {
  attrs["reset_after"] = after;
  return {.op = "gru",
          .in = std::move(in),
          .attrs = std::move(attrs),
          .differentiable = {0, 1, 2, 3, 4},
          .output = output};
}

OpCase plain(bool after) { return gru_case(after, gru_inputs(after, 3, 4, 2, 3)); }
OpCase last_state(bool after) { return gru_case(after, gru_inputs(after, 3, 4, 2, 3), {}, 1); }
OpCase no_rows(bool after) { return gru_case(after, gru_inputs(after, 0, 3, 2, 3)); }
OpCase several_slices(bool after) {
  return gru_case(after, gru_inputs(after, 19, 2, 1, 17),
                  {{"return_sequences", true}, {"go_backwards", true}});
}
OpCase two_groups(bool after) { return gru_case(after, gru_inputs(after, 19, 4, 1, 2)); }
OpCase masked(bool after, bool sequences, bool zero, int output) {
  return gru_case(
      after, gru_inputs(after, 4, 5, 2, 3, {kMask}),
      {{"has_mask", true}, {"return_sequences", sequences}, {"zero_output_for_mask", zero}},
      output);
}
OpCase dropped(bool after) {
  return gru_case(after, gru_inputs(after, 4, 5, 2, 3, {kDropout}),
                  {{"has_recurrent_mask", true}, {"return_sequences", true}});
}
OpCase masked_and_dropped(bool after) {
  return gru_case(after, gru_inputs(after, 4, 5, 2, 3, {kMask, kDropout}),
                  {{"has_mask", true},
                   {"has_recurrent_mask", true},
                   {"return_sequences", true},
                   {"go_backwards", true}});
}
OpCase activated(bool after) {
  return gru_case(after, gru_inputs(after, 2, 3, 2, 3),
                  {{"activation", std::string("softsign")},
                   {"recurrent_activation", std::string("hard_sigmoid")}});
}

// x is a table, of which some rows are read often and some never.
OpCase words(bool after) {
  std::vector<Tensor> in = gru_inputs(after, 4, 5, 2, 3, {kMask});
  in[0] = uniform({7, 2}, -1, 1, 1);
  in.push_back(Tensor::of<std::int64_t>(
      {4, 5}, {3, 3, 0, 6, 3, 1, 0, 0, 0, 2, 6, 6, 6, 1, 3, 0, 3, 0, 3, 0}));
  return gru_case(after, std::move(in),
                  {{"has_words", true}, {"has_mask", true}, {"return_sequences", true}});
}

const AddCases gru_cases{
    plain(true),
    plain(false),
    last_state(true),
    last_state(false),
    several_slices(true),
    several_slices(false),
    two_groups(true),
    two_groups(false),
    masked(true, true, false, 0),
    masked(false, true, false, 0),
    masked(true, false, false, 1),
    masked(false, false, false, 0),
    masked(true, true, true, 0),
    masked(false, true, true, 0),
    dropped(true),
    dropped(false),
    masked_and_dropped(true),
    masked_and_dropped(false),
    activated(true),
    activated(false),
    no_rows(true),
    no_rows(false),
    words(true),
    words(false),
};

}  // namespace
