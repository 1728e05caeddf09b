// Graphs inside a graph: the bodies of branches and loops.
#pragma once

#include "lamina/graph.h"

namespace lamina {

// Appends the nodes of a body, its inputs replaced by `inputs`; returns its outputs.
std::vector<ValueId> append_body(Builder& to, const Graph& body, std::span<const ValueId> inputs);

// The gradients of sum(out[k] * seed[k]) for `wrt`, in the same graph; zeros where there is none.
struct Seed {
  ValueId out, seed;
};
std::vector<ValueId> pull_back(Builder& b, std::span<const Seed> seeds,
                               std::span<const ValueId> wrt);

}  // namespace lamina
