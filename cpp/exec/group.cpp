// Elementwise neighbours run tile by tile: a chain of n operations then reads and writes memory
// once, and what is between them stays in the first-level cache.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/parallel.h"
#include "exec/program.h"

namespace lamina {
namespace {

constexpr Dim kSmallest = 4096;  // elements: below, a group saves nothing
constexpr std::size_t kMostNodes = 16, kMostOperands = 4;
constexpr std::int64_t kTileSize = 1024, kGrain = 16 * kTileSize;
constexpr int kSlot = 3;  // of the thread's workspace

Dim groupable_size(const Graph& graph, const Node& node) {
  if (!node.op->has(kElementwise) || node.op->tile == nullptr || node.out.size() != 1) return 0;
  if (node.in.size() > kMostOperands) return 0;
  const Shape& shape = graph.values[node.out[0]].spec.shape;
  const Dim size = element_count(shape);
  if (size < kSmallest) return 0;
  for (const ValueId id : node.in) {
    const Shape& operand = graph.values[id].spec.shape;
    if (operand != shape && element_count(operand) != 1) return 0;
  }
  return size;
}

bool touches(const Graph& graph, const Unit& unit, const Node& node) {
  for (const std::size_t n : unit) {
    const Node& member = graph.nodes[n];
    for (const ValueId id : node.in)
      if (id == member.out[0] ||
          std::find(member.in.begin(), member.in.end(), id) != member.in.end())
        return true;
  }
  return false;
}

// Where a member finds an operand while a tile is computed.
struct Operand {
  enum class Kind : std::uint8_t { outer, scalar, inner, result } kind;
  std::size_t index;  // of the step's operand or result, or of the tile buffer
  std::size_t item;   // bytes an element
};
struct Member {
  Tile tile;
  std::vector<Operand> in;
  Operand out;
};
struct Group {
  std::vector<Member> members;
  std::vector<std::pair<std::size_t, Operand>> spread;  // (tile buffer, scalar operand)
  std::size_t buffers = 0;
};

void run_tiles(const Group& group, const Run& r, std::int64_t begin, std::int64_t end) {
  constexpr std::size_t kBufferBytes = kTileSize * sizeof(double);
  auto* buffers = workspace<std::byte>(kSlot, group.buffers * kBufferBytes);
  for (const auto& [buffer, scalar] : group.spread) {
    std::byte* to = buffers + buffer * kBufferBytes;
    for (std::int64_t i = 0; i < kTileSize; ++i)
      std::memcpy(to + static_cast<std::size_t>(i) * scalar.item, r.ins[scalar.index], scalar.item);
  }
  for (std::int64_t i = begin; i < end; i += kTileSize) {
    const std::int64_t n = std::min(kTileSize, end - i);
    const auto find = [&](const Operand& o) -> void* {
      if (o.kind == Operand::Kind::inner) return buffers + o.index * kBufferBytes;
      void* const* base = o.kind == Operand::Kind::result ? r.outs : r.ins;
      return static_cast<std::byte*>(base[o.index]) + static_cast<std::size_t>(i) * o.item;
    };
    for (const Member& m : group.members) {
      std::array<void*, kMostOperands> ins;
      for (std::size_t k = 0; k < m.in.size(); ++k) ins[k] = find(m.in[k]);
      m.tile(ins.data(), find(m.out), n);
    }
  }
}

}  // namespace

std::vector<Unit> group_nodes(const Graph& graph, bool fuse) {
  std::vector<Unit> units;
  Dim open_size = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op->has(kView)) continue;
    const Dim size = fuse ? groupable_size(graph, node) : 0;
    const bool joins = size > 0 && size == open_size && i != graph.seam &&
                       units.back().size() < kMostNodes && touches(graph, units.back(), node);
    if (joins)
      units.back().push_back(i);
    else
      units.push_back({i});
    open_size = size;
  }
  return units;
}

Bound bind_group(const Graph& graph, const Unit& unit, const std::vector<ValueId>& reads,
                 const std::vector<ValueId>& writes) {
  auto group = std::make_shared<Group>();
  std::map<ValueId, std::size_t> inner;  // values that live in a tile buffer
  double flops = 0;
  const auto position = [](const std::vector<ValueId>& list, ValueId id) {
    return static_cast<std::size_t>(std::find(list.begin(), list.end(), id) - list.begin());
  };
  std::map<ValueId, std::size_t> made;  // results written to memory by an earlier member
  const Dim size = element_count(graph.values[graph.nodes[unit[0]].out[0]].spec.shape);
  for (const std::size_t n : unit) {
    const Node& node = graph.nodes[n];
    std::vector<Spec> in;
    for (const ValueId id : node.in) in.push_back({graph.values[id].spec.dtype, {size}});
    const std::vector<Spec> out{{graph.values[node.out[0]].spec.dtype, {size}}};
    const bool used = true;
    Member member{node.op->tile({in, out, node.attrs, std::span<const bool>(&used, 1)}), {}, {}};
    for (const ValueId id : node.in) {
      const Spec& spec = graph.values[id].spec;
      const std::size_t item = item_size(spec.dtype);
      if (const auto it = inner.find(id); it != inner.end()) {
        member.in.push_back({Operand::Kind::inner, it->second, item});
      } else if (const auto at = made.find(id); at != made.end()) {
        member.in.push_back({Operand::Kind::result, at->second, item});
      } else if (element_count(spec.shape) == 1) {
        inner[id] = group->buffers++;
        group->spread.push_back({inner[id], {Operand::Kind::scalar, position(reads, id), item}});
        member.in.push_back({Operand::Kind::inner, inner[id], item});
      } else {
        member.in.push_back({Operand::Kind::outer, position(reads, id), item});
      }
    }
    const ValueId id = node.out[0];
    const std::size_t item = item_size(graph.values[id].spec.dtype);
    if (const std::size_t at = position(writes, id); at < writes.size()) {
      member.out = {Operand::Kind::result, at, item};
      made[id] = at;
    } else {
      inner[id] = group->buffers++;
      member.out = {Operand::Kind::inner, inner[id], item};
    }
    const bool yes = true;
    flops += bind_node(graph, node, std::span<const bool>(&yes, 1)).flops;
    group->members.push_back(std::move(member));
  }
  const auto run = [group, size](const Run& r) {
    parallel_for(size, kGrain,
                 [&](std::int64_t begin, std::int64_t end) { run_tiles(*group, r, begin, end); });
  };
  return {run, 0, flops};
}

}  // namespace lamina
