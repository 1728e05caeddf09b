#include "op_cases.h"

using namespace lamina;

namespace {

std::vector<Tensor> heads(Dim batch, Dim queries, Dim keys, Dim query_heads, Dim key_heads,
                          Dim size, Dim value_size, std::initializer_list<Tensor> more = {}) {
  std::vector<Tensor> in{uniform({batch, queries, query_heads, size}, -1, 1, 1),
                         uniform({batch, keys, key_heads, size}, -1, 1, 2),
                         uniform({batch, keys, key_heads, value_size}, -1, 1, 3)};
  in.insert(in.end(), more);
  return in;
}

Tensor mask_of(Shape shape, const std::vector<int>& valid) {
  Tensor mask(Spec{DType::boolean, std::move(shape)});
  for (std::size_t i = 0; i < valid.size(); ++i) mask.data<bool>()[i] = valid[i] != 0;
  return mask;
}

// The second query may see nothing.
const Tensor kMask = mask_of({1, 1, 3, 5}, {1, 0, 1, 1, 0,  //
                                            0, 0, 0, 0, 0,  //
                                            0, 1, 1, 0, 1});
const Tensor kOfKeys = mask_of({2, 1, 1, 5}, {1, 1, 1, 0, 0,  //
                                              1, 0, 1, 0, 1});

const AddCases attention_cases{
    {.op = "attention", .in = heads(2, 3, 5, 2, 2, 4, 3), .attrs = {{"scale", 0.5}}},
    {.op = "attention", .in = heads(1, 4, 4, 4, 2, 3, 2), .attrs = {{"is_causal", true}}},
    {.op = "attention", .in = heads(2, 70, 3, 1, 1, 2, 2), .attrs = {{"is_causal", true}}},
    {.op = "attention", .in = heads(2, 3, 5, 3, 1, 2, 9), .attrs = {{"soft_cap", 0.7}}},
    {.op = "attention", .in = heads(2, 3, 5, 2, 2, 4, 3, {kMask}), .attrs = {{"has_mask", true}}},
    {.op = "attention",
     .in = heads(2, 3, 5, 2, 1, 4, 3, {kOfKeys}),
     .attrs = {{"has_mask", true}, {"is_causal", true}}},
    {.op = "attention",
     .in = heads(2, 3, 5, 2, 2, 4, 3, {uniform({1, 2, 3, 5}, -1, 1, 4)}),
     .attrs = {{"has_bias", true}, {"soft_cap", 2.0}, {"scale", 1.5}}},
    {.op = "attention",
     .in = heads(2, 3, 5, 2, 2, 4, 3, {kMask, uniform({2, 1, 1, 5}, -1, 1, 4)}),
     .attrs = {{"has_mask", true}, {"has_bias", true}, {"is_causal", true}}},
};

}  // namespace
