#include "op_cases.h"

using lamina::Attrs;
using lamina::Tensor;

namespace {

// Random matrices with a large diagonal: far from singular.
Tensor regular(lamina::Shape shape, std::uint64_t seed = 1) {
  Tensor t = uniform(shape, -1, 1, seed);
  const auto n = static_cast<std::size_t>(shape.back());
  for (std::size_t i = 0; i < t.size(); ++i)
    if (i / n % n == i % n) t.data<double>()[i] += 3 + static_cast<double>(i % n);
  return t;
}
Attrs triangular(bool lower, bool transpose) {
  return {{"lower", lower}, {"transpose", transpose}};
}
const Attrs kTransposed{{"transpose", true}};
const Attrs kInverse{{"inverse", true}};

const AddCases cases{
    {.op = "cholesky", .in = {regular({3, 3})}},
    {.op = "cholesky", .in = {regular({2, 4, 4})}},
    {.op = "det", .in = {regular({2, 3, 3})}, .tolerance = 1e-5},
    {.op = "det", .in = {regular({1, 1})}},
    {.op = "slogdet", .in = {regular({2, 3, 3})}, .output = 1},
    {.op = "inv", .in = {regular({2, 3, 3})}},
    {.op = "solve", .in = {regular({3, 3}), uniform({3, 2}, -1, 1, 2)}},
    {.op = "solve", .in = {regular({2, 3, 3}), uniform({2, 3, 1}, -1, 1, 2)}},
    {.op = "solve", .in = {regular({3, 3}), uniform({3, 2}, -1, 1, 2)}, .attrs = kTransposed},
    {.op = "solve_triangular",
     .in = {regular({2, 3, 3}), uniform({2, 3, 2}, -1, 1, 2)},
     .attrs = triangular(true, false)},
    {.op = "solve_triangular",
     .in = {regular({3, 3}), uniform({3, 2}, -1, 1, 2)},
     .attrs = triangular(false, true)},
    {.op = "solve_triangular",
     .in = {regular({3, 3}), uniform({3, 2}, -1, 1, 2)},
     .attrs = triangular(true, true)},
    {.op = "eigh", .in = {regular({2, 3, 3})}, .tolerance = 1e-5},
    {.op = "svd", .in = {uniform({4, 2})}, .tolerance = 1e-5},
    {.op = "svd", .in = {uniform({2, 2, 3})}, .tolerance = 1e-5},
    {.op = "svd",
     .in = {uniform({3, 2})},
     .attrs = {{"full_matrices", true}},
     .tolerance = 1e-5,
     .output = 1},
    {.op = "qr", .in = {uniform({4, 3})}, .tolerance = 1e-5},
    {.op = "qr", .in = {uniform({2, 3, 3})}, .tolerance = 1e-5},

    {.op = "fft", .in = {uniform({2, 8}), uniform({2, 8}, -1, 1, 2)}},
    {.op = "fft", .in = {uniform({1, 15}), uniform({1, 15}, -1, 1, 2)}, .attrs = kInverse},
    {.op = "fft", .in = {uniform({19}), uniform({19}, -1, 1, 2)}},
    {.op = "fft", .in = {uniform({1}), uniform({1}, -1, 1, 2)}},

    {.op = "i0", .in = {uniform({5}, -3, 3)}},
    {.op = "i1", .in = {uniform({5}, -3, 3)}},

    {.op = "scatter_rows", .in = {uniform({4, 2}), integers({3}, 4), uniform({3, 2}, -1, 1, 2)}},
    {.op = "scatter_rows",
     .in = {uniform({2, 2}), integers({5}, 2), uniform({5, 2}, -1, 1, 2)},
     .attrs = {{"reduction", std::string("set")}}},
    {.op = "scatter_rows",
     .in = {uniform({2, 2}), integers({5}, 3), uniform({5, 2}, -1, 1, 2)},
     .attrs = {{"reduction", std::string("add")}, {"drop", true}}},
    {.op = "scatter_rows",
     .in = {uniform({3, 2}), integers({5}, 3), uniform({5, 2}, -1, 1, 2)},
     .attrs = {{"reduction", std::string("max")}}},
    {.op = "scatter_rows",
     .in = {uniform({3, 2}), integers({5}, 3), uniform({5, 2}, -1, 1, 2)},
     .attrs = {{"reduction", std::string("min")}}},
    {.op = "scatter_rows",
     .in = {uniform({3, 2}, 1, 2), integers({5}, 3), uniform({5, 2}, 1, 2, 2)},
     .attrs = {{"reduction", std::string("mul")}}},
};

}  // namespace
