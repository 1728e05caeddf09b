// Where every value of a program lives: which values share a buffer, when each buffer is alive, and
// at which offset of the arena it lies.
#pragma once

#include <cstdint>
#include <vector>

#include "lamina/plan.h"
#include "ops/op.h"

namespace lamina {

// Nodes that run as one step, in order. A view is in no unit.
using Unit = std::vector<std::size_t>;

struct Root {
  enum class Kind : std::uint8_t { arena, variable, constant, borrowed };
  Kind kind = Kind::arena;
  std::size_t bytes = 0;
  std::int64_t first = 0, last = -1;  // units; an input is alive from -1, an output to the end
  std::size_t offset = 0;             // in the arena
  ValueId value = kNoValue;           // whose buffer it is
};

struct Place {
  std::uint32_t root = ~0U;
  std::size_t offset = 0;
  ValueId in_variable = kNoValue;  // offset counts from this variable, wherever it is by then
};

struct Layout {
  std::vector<Root> roots;
  std::vector<Place> places;           // by value
  std::vector<std::uint32_t> scratch;  // by unit: its scratch root, ~0U for none
  std::vector<std::pair<ValueId, std::uint32_t>>
      saved;                   // values copied to a root before the assigns
  std::vector<Assign> copies;  // assigns that are not done in place
  std::size_t arena_bytes = 0;
};

// `scratch_bytes` by unit; `kept` are the values that outlive a run. With reuse off every value has
// a buffer of its own; with borrow on inputs have none.
Layout plan_layout(const Graph& graph, const std::vector<Unit>& units,
                   const std::vector<std::size_t>& scratch_bytes, std::vector<ValueId> kept,
                   bool reuse, bool borrow);

}  // namespace lamina
