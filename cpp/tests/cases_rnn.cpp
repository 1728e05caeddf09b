#include "op_cases.h"

using namespace lamina;

namespace {

Tensor mask_of(Shape shape, const std::vector<int>& valid) {
  Tensor mask(Spec{DType::boolean, std::move(shape)});
  for (std::size_t i = 0; i < valid.size(); ++i) mask.data<bool>()[i] = valid[i] != 0;
  return mask;
}

// The inputs of a recurrent op, in order; weights small enough to keep the cells off saturation.
std::vector<Tensor> rnn_inputs(bool lstm, Dim batch, Dim steps, Dim features, Dim units) {
  const Dim wide = (lstm ? 4 : 1) * units;
  std::vector<Tensor> in{uniform({batch, steps, features}, -1, 1, 1),
                         uniform({features, wide}, -0.6, 0.6, 2),
                         uniform({units, wide}, -0.6, 0.6, 3), uniform({wide}, -0.5, 0.5, 4),
                         uniform({batch, units}, -0.8, 0.8, 5)};
  if (lstm) in.push_back(uniform({batch, units}, -0.8, 0.8, 6));
  return in;
}

std::vector<Tensor> with(std::vector<Tensor> in, std::initializer_list<Tensor> more) {
  in.insert(in.end(), more);
  return in;
}

// Rows that begin with masked steps, end with them, have them between, and consist of them.
const Tensor kMask = mask_of({4, 5}, {0, 0, 1, 1, 1,  //
                                      1, 1, 1, 0, 0,  //
                                      1, 0, 1, 0, 1,  //
                                      0, 0, 0, 0, 0});
const Tensor kDropout = uniform({4, 3}, 0.5, 1.5, 7);
const Tensor kGateDropout = uniform({4, 4, 3}, 0.5, 1.5, 7);
// The inputs with words: x is a table, of which some rows are read often and some never.
std::vector<Tensor> word_inputs(bool lstm, std::initializer_list<Tensor> more = {}) {
  std::vector<Tensor> in = with(rnn_inputs(lstm, 4, 5, 2, 3), more);
  in[0] = uniform({7, 2}, -1, 1, 1);
  in.push_back(Tensor::of<std::int32_t>(
      {4, 5}, {3, 3, 0, 6, 3, 1, 0, 0, 0, 2, 6, 6, 6, 1, 3, 0, 3, 0, 3, 0}));
  return in;
}
const std::vector<int> kLstmInputs{0, 1, 2, 3, 4, 5}, kSimpleInputs{0, 1, 2, 3, 4};

const AddCases lstm_cases{
    {.op = "lstm", .in = rnn_inputs(true, 3, 4, 2, 3), .output = 0},
    {.op = "lstm", .in = rnn_inputs(true, 3, 4, 2, 3), .output = 1},
    {.op = "lstm", .in = rnn_inputs(true, 3, 4, 2, 3), .output = 2},
    {.op = "lstm",
     .in = rnn_inputs(true, 2, 5, 3, 9),
     .attrs = {{"return_sequences", true}},
     .output = 0},
    {.op = "lstm",
     .in = rnn_inputs(true, 19, 2, 1, 17),  // more than one slice, no size divides
     .attrs = {{"return_sequences", true}, {"go_backwards", true}},
     .output = 0},
    {.op = "lstm", .in = rnn_inputs(true, 19, 4, 1, 2), .output = 0},  // two groups of rows
    {.op = "lstm",
     .in = with(rnn_inputs(true, 19, 4, 1, 2), {uniform({4, 19, 2}, 0.5, 1.5, 7)}),
     .attrs = {{"has_recurrent_mask", true}},
     .differentiable = kLstmInputs,
     .output = 0},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kMask}),
     .attrs = {{"has_mask", true}, {"return_sequences", true}},
     .output = 0},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kMask}),
     .attrs = {{"has_mask", true}},
     .output = 0},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kMask}),
     .attrs = {{"has_mask", true}},
     .output = 2},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kMask}),
     .attrs = {{"has_mask", true}, {"return_sequences", true}, {"zero_output_for_mask", true}},
     .output = 0},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kMask, kGateDropout}),
     .attrs = {{"has_mask", true},
               {"has_recurrent_mask", true},
               {"return_sequences", true},
               {"go_backwards", true}},
     .differentiable = kLstmInputs,
     .output = 0},
    {.op = "lstm",
     .in = with(rnn_inputs(true, 4, 5, 2, 3), {kGateDropout}),
     .attrs = {{"has_recurrent_mask", true}},
     .differentiable = kLstmInputs,
     .output = 1},
    {.op = "lstm",
     .in = rnn_inputs(true, 2, 3, 2, 3),
     .attrs = {{"activation", std::string("softsign")},
               {"recurrent_activation", std::string("hard_sigmoid")}},
     .output = 0},
    {.op = "lstm",
     .in = rnn_inputs(true, 2, 3, 2, 3),
     .attrs = {{"activation", std::string("softplus")},
               {"recurrent_activation", std::string("tanh")}},
     .output = 2},
    {.op = "lstm", .in = rnn_inputs(true, 0, 3, 2, 3), .output = 0},
    {.op = "lstm",
     .in = word_inputs(true),
     .attrs = {{"has_words", true}, {"return_sequences", true}},
     .differentiable = kLstmInputs,
     .output = 0},
    {.op = "lstm",
     .in = word_inputs(true, {kMask, kGateDropout}),
     .attrs = {{"has_words", true},
               {"has_mask", true},
               {"has_recurrent_mask", true},
               {"go_backwards", true}},
     .differentiable = kLstmInputs,
     .output = 0},
};

const AddCases simple_cases{
    {.op = "simple_rnn", .in = rnn_inputs(false, 3, 4, 2, 3), .output = 0},
    {.op = "simple_rnn", .in = rnn_inputs(false, 3, 4, 2, 3), .output = 1},
    {.op = "simple_rnn",
     .in = rnn_inputs(false, 18, 3, 2, 17),
     .attrs = {{"return_sequences", true}, {"go_backwards", true}},
     .output = 0},
    {.op = "simple_rnn",
     .in = with(rnn_inputs(false, 4, 5, 2, 3), {kMask, kDropout}),
     .attrs = {{"has_mask", true}, {"has_recurrent_mask", true}, {"return_sequences", true}},
     .differentiable = kSimpleInputs,
     .output = 0},
    {.op = "simple_rnn",
     .in = with(rnn_inputs(false, 4, 5, 2, 3), {kMask}),
     .attrs = {{"has_mask", true}, {"zero_output_for_mask", true}},
     .output = 0},
    {.op = "simple_rnn",
     .in = rnn_inputs(false, 2, 3, 2, 3),
     .attrs = {{"activation", std::string("elu")}},
     .output = 0},
    {.op = "simple_rnn",
     .in = rnn_inputs(false, 2, 3, 2, 3),
     .attrs = {{"activation", std::string("relu")}},
     .output = 0},
    {.op = "simple_rnn",
     .in = rnn_inputs(false, 1, 1, 1, 1),
     .attrs = {{"activation", std::string("linear")}},
     .output = 0},
    {.op = "simple_rnn",
     .in = rnn_inputs(false, 2, 3, 2, 3),
     .attrs = {{"activation", std::string("sigmoid")}},
     .output = 0},
    {.op = "simple_rnn",
     .in = word_inputs(false, {kMask}),
     .attrs = {{"has_words", true}, {"has_mask", true}, {"return_sequences", true}},
     .differentiable = kSimpleInputs,
     .output = 0},
};

}  // namespace
