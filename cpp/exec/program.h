// What a Program holds: shared by program.cpp (makes it) and plan.cpp (runs it).
#pragma once

#include "exec/layout.h"

namespace lamina {

struct Step {
  Kernel run;
  std::vector<ValueId> in, out;  // kNoValue: an output that nobody reads
  std::uint32_t scratch = ~0U;   // root
  Unit unit;                     // its nodes, for names
  double flops = 0;
  std::optional<std::size_t> bytes_read;
  bool is_steady = false;  // runs only when variables have changed since it last did
};

struct Program::Impl {
  Graph graph;
  ProgramOptions options;
  Layout layout;
  std::vector<Step> steps;
  std::size_t seam_step = 0;  // steps from here on may change state
  bool wants_team = false;    // some step is worth more than one thread
  bool has_steady = false;    // some step is steady
};

// Elementwise neighbours of one size, joined so that they run tile by tile (exec/group.cpp).
std::vector<Unit> group_nodes(const Graph& graph, bool fuse);
// The kernel of a unit of several nodes. `reads` and `writes` are its outer operands and results.
Bound bind_group(const Graph& graph, const Unit& unit, const std::vector<ValueId>& reads,
                 const std::vector<ValueId>& writes);

// One node bound to its kernel. `used[i]`: is output i read by anyone?
Bound bind_node(const Graph& graph, const Node& node, std::span<const bool> used);

}  // namespace lamina
