#include "graph/steady.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ops/op.h"

namespace lamina {
namespace {

// Elements. A large constant may lie in an array of the caller's, and is read where it lies.
constexpr std::size_t kMostConstant = 1024;

bool always_gives_the_same(const Node& node) {
  if (node.op->has(kRandom) || node.op->has(kCallsPython) || node.op->has(kUpdate)) return false;
  return std::none_of(node.attrs.begin(), node.attrs.end(), [](const auto& attr) {
    return std::holds_alternative<GraphPtr>(attr.second);  // its body may do anything
  });
}

}  // namespace

std::vector<bool> steady_values(const Graph& graph) {
  // Packed variables lie in one storage, and the whole of it may be assigned as one.
  const auto storage_of = [&](ValueId id) -> const void* {
    return std::as_const(*graph.values[id].variable).value().owner().get();
  };
  std::set<const void*> assigned;
  for (const Assign& a : graph.assigns) assigned.insert(storage_of(a.variable));
  std::vector<bool> steady(graph.values.size(), false);
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    steady[id] = (value.kind == Value::Kind::constant && value.constant.size() <= kMostConstant) ||
                 (value.kind == Value::Kind::variable && !assigned.contains(storage_of(id)));
  }
  for (const Node& node : graph.nodes)
    if (always_gives_the_same(node) &&
        std::all_of(node.in.begin(), node.in.end(), [&](ValueId id) { return steady[id]; }))
      for (const ValueId id : node.out) steady[id] = true;
  return steady;
}

}  // namespace lamina
