// Elementwise neighbours run tile by tile: a chain of n operations then reads and writes memory
// once, and what is between them stays in the first-level cache.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/even_parts.h"
#include "exec/program.h"

namespace lamina {
namespace {

constexpr Dim kSmallest = 4096;  // elements: below, a group saves nothing
constexpr std::size_t kMostNodes = 16, kMostOperands = 4;
constexpr std::int64_t kTileSize = 1024;
constexpr int kSlot = 3;  // of the thread's workspace

// What the members of a group have in common: the elements of a result, and the length of the rows
// that operands may repeat (a bias of channels), 0 if none does.
struct Extent {
  Dim size = 0, row = 0;
  bool joins(const Extent& other) const {
    return size > 0 && size == other.size && (row == 0 || other.row == 0 || row == other.row);
  }
  // Whole rows, so that a repeated operand begins anew with each tile.
  std::int64_t tile() const { return row == 0 ? kTileSize : kTileSize / row * row; }
};

// The length of a row if the operand is one and is repeated for every row of `shape`; else 0.
Dim repeated_row(const Shape& operand, const Shape& shape) {
  const Dim row = element_count(operand);
  return row > 1 && row <= kTileSize && row == operand.back() && row == shape.back() ? row : 0;
}

// Size 0: the node joins no group.
Extent extent_of(const Graph& graph, const Node& node) {
  if (!node.op->has(kElementwise) || node.op->tile == nullptr || node.out.size() != 1) return {};
  if (node.in.size() > kMostOperands) return {};
  const Shape& shape = graph.values[node.out[0]].spec.shape;
  Extent extent{element_count(shape), 0};
  if (extent.size < kSmallest) return {};
  for (const ValueId id : node.in) {
    const Shape& operand = graph.values[id].spec.shape;
    if (operand == shape || element_count(operand) == 1) continue;
    extent.row = repeated_row(operand, shape);
    if (extent.row == 0) return {};
  }
  return extent;
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
  enum class Kind : std::uint8_t { outer, repeated, inner, result } kind;
  std::size_t index;  // of the step's operand or result, or of the tile buffer
  std::size_t item;   // bytes an element
};
struct Member {
  Tile tile;
  std::vector<Operand> in;
  Operand out;
};
struct Group {
  Extent extent;
  std::vector<Member> members;
  // Operands that are the same for every tile: (tile buffer, operand, its elements).
  struct Spread {
    std::size_t buffer;
    Operand operand;
    Dim count;
  };
  std::vector<Spread> spread;
  std::size_t buffers = 0;
};

// The operand again and again, until it fills a tile.
void fill_tile(std::byte* to, const void* from, std::size_t bytes, std::size_t tile_bytes) {
  std::memcpy(to, from, bytes);
  for (std::size_t done = bytes; done < tile_bytes; done *= 2)
    std::memcpy(to + done, to, std::min(done, tile_bytes - done));
}

void run_tiles(const Group& group, const Run& r, std::int64_t begin, std::int64_t end) {
  constexpr std::size_t kBufferBytes = kTileSize * sizeof(double);
  auto* buffers = workspace<std::byte>(kSlot, group.buffers * kBufferBytes);
  const std::int64_t tile = group.extent.tile();
  for (const Group::Spread& s : group.spread)
    fill_tile(buffers + s.buffer * kBufferBytes, r.ins[s.operand.index],
              static_cast<std::size_t>(s.count) * s.operand.item,
              static_cast<std::size_t>(tile) * s.operand.item);
  for (std::int64_t i = begin; i < end; i += tile) {
    const std::int64_t n = std::min(tile, end - i);
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
  Extent open;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op->has(kView)) continue;
    Extent extent = fuse ? extent_of(graph, node) : Extent{};
    const bool joins = extent.joins(open) && i != graph.seam && units.back().size() < kMostNodes &&
                       touches(graph, units.back(), node);
    if (joins) {
      units.back().push_back(i);
      extent.row = std::max(extent.row, open.row);
    } else {
      units.push_back({i});
    }
    open = extent;
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
  group->extent.size = size;
  for (const std::size_t n : unit) {
    const Node& node = graph.nodes[n];
    group->extent.row = std::max(group->extent.row, extent_of(graph, node).row);
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
      } else if (element_count(spec.shape) < size) {
        inner[id] = group->buffers++;
        group->spread.push_back({inner[id],
                                 {Operand::Kind::repeated, position(reads, id), item},
                                 element_count(spec.shape)});
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
    const std::int64_t tile = group->extent.tile();
    parallel_evenly(size, 4 * tile, tile, 16 * tile, [&](std::int64_t begin, std::int64_t end) {
      run_tiles(*group, r, begin, end);
    });
  };
  return {run, 0, flops};
}

}  // namespace lamina
