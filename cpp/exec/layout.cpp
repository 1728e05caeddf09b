#include "exec/layout.h"

#include <algorithm>
#include <map>
#include <utility>

namespace lamina {
namespace {

constexpr std::size_t kAlign = 64;
std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

class Planner {
 public:
  Planner(const Graph& graph, const std::vector<Unit>& units, std::vector<ValueId> kept, bool reuse,
          bool borrow)
      : graph_(graph),
        kept_(std::move(kept)),
        reuse_(reuse),
        borrow_(borrow),
        end_(static_cast<std::int64_t>(units.size())),
        time_(graph.nodes.size(), -1),
        maker_(graph.values.size(), -1) {
    for (std::size_t u = 0; u < units.size(); ++u)
      for (const std::size_t node : units[u]) time_[node] = static_cast<std::int64_t>(u);
    layout_.places.resize(graph.values.size());
    std::int64_t now = -1;  // a view happens when the node before it does
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      if (time_[i] < 0) time_[i] = now;
      now = time_[i];
      for (const ValueId id : graph.nodes[i].out) maker_[id] = static_cast<std::int64_t>(i);
    }
  }

  Layout run(const std::vector<std::size_t>& scratch_bytes) {
    make_roots();
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (graph_.nodes[i].op->has(kView)) alias(graph_.nodes[i].out[0], graph_.nodes[i].in[0]);
    collect_reads();
    if (reuse_) {
      place_packs();
      place_assigns();
      place_in_place();
    }
    find_lives();
    save_and_copy();
    place_scratch(scratch_bytes);
    place_arena();
    return std::move(layout_);
  }

 private:
  Place& place(ValueId id) { return layout_.places[id]; }
  Root& root(ValueId id) { return layout_.roots[place(id).root]; }
  std::size_t bytes(ValueId id) const { return byte_size(graph_.values[id].spec); }

  std::uint32_t new_root(Root::Kind kind, std::size_t size, ValueId value) {
    layout_.roots.push_back({kind, size, 0, -1, 0, value});
    return static_cast<std::uint32_t>(layout_.roots.size() - 1);
  }

  void make_roots() {
    std::map<const void*, std::uint32_t> storages;  // packed variables share one
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      const Value& v = graph_.values[id];
      if (v.kind == Value::Kind::variable) {
        const void* storage = std::as_const(*v.variable).value().owner().get();
        const auto [it, fresh] = storages.emplace(storage, 0);
        if (fresh) it->second = new_root(Root::Kind::variable, 0, id);
        place(id) = {it->second, 0, id};
      } else {
        const bool is_borrowed = borrow_ && v.kind == Value::Kind::input;
        const auto kind = v.kind == Value::Kind::constant ? Root::Kind::constant
                          : is_borrowed                   ? Root::Kind::borrowed
                                                          : Root::Kind::arena;
        place(id) = {new_root(kind, bytes(id), id), 0};
      }
    }
  }

  void alias(ValueId id, ValueId of) { place(id) = place(of); }

  // The last node that reads a root, and the values that must outlive the step.
  void collect_reads() {
    root_read_.assign(layout_.roots.size(), -1);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      for (const ValueId id : graph_.nodes[i].in)
        if (!graph_.nodes[i].op->has(kView))
          root_read_[place(id).root] = static_cast<std::int64_t>(i);
    living_in_.resize(layout_.roots.size());
    for (ValueId id = 0; id < graph_.values.size(); ++id) living_in_[place(id).root].push_back(id);
    root_held_.assign(layout_.roots.size(), false);
    for (const ValueId id : graph_.outputs) root_held_[place(id).root] = true;
    for (const Assign& a : graph_.assigns) root_held_[place(a.value).root] = true;
    for (const ValueId id : kept_) root_held_[place(id).root] = true;
  }

  bool owns_arena_root(ValueId id) {
    return root(id).kind == Root::Kind::arena && root(id).value == id &&
           graph_.values[id].kind == Value::Kind::temp;
  }

  // Moves everything that lives in the value's root into another place.
  void move_root(ValueId id, Place to) {
    const std::uint32_t from = place(id).root;
    for (const ValueId inside : living_in_[from]) {
      place(inside) = {to.root, to.offset + place(inside).offset, to.in_variable};
      living_in_[to.root].push_back(inside);
    }
    living_in_[from].clear();
    root_read_[to.root] = std::max(root_read_[to.root], root_read_[from]);
    if (root_held_[from]) root_held_[to.root] = true;
    layout_.roots[from].bytes = 0;
  }

  // The inputs of a pack are made where the pack wants them.
  void place_packs() {
    for (const Node& node : graph_.nodes) {
      if (!node.op->has(kPack)) continue;
      std::vector<Spec> specs;
      for (const ValueId id : node.in) specs.push_back(graph_.values[id].spec);
      const std::vector<std::size_t> offsets = packed_offsets(specs);
      for (std::size_t i = 0; i < node.in.size(); ++i) {
        const ValueId id = root(node.in[i]).value;
        const bool whole = bytes(id) == bytes(node.in[i]) && place(node.in[i]).offset == 0;
        if (whole && owns_arena_root(id) && !root_held_[place(id).root] && !writes_in_place(id))
          move_root(id, {place(node.out[0]).root, offsets[i], kNoValue});
      }
    }
  }

  bool writes_in_place(ValueId id) const {
    return maker_[id] >= 0 && graph_.nodes[static_cast<std::size_t>(maker_[id])].op->has(kUpdate);
  }

  // A variable's new value is made in the variable itself when nothing reads the old one later.
  void place_assigns() {
    std::vector<int> assigned(graph_.values.size(), 0);  // how often
    for (const Assign& a : graph_.assigns) ++assigned[a.value];
    for (const Assign& a : graph_.assigns) {
      const ValueId id = a.value;
      if (!owns_arena_root(id) || maker_[id] < 0) continue;
      const auto node_index = static_cast<std::size_t>(maker_[id]);
      if (graph_.seam != Graph::kNoSeam ? node_index < graph_.seam : true) continue;
      if (assigned[id] > 1) continue;
      const std::uint32_t variable_root = place(a.variable).root;
      if (root_read_[variable_root] > maker_[id] || root_held_[variable_root]) continue;
      if (!may_write_over(graph_.nodes[node_index], id, a.variable, variable_root)) continue;
      move_root(id, {variable_root, 0, a.variable});
      root_held_[variable_root] = false;  // held as an assign, which is done with that
      in_variable_[id] = a.variable;
    }
  }

  // May the node write its result over the variable while reading it?
  bool may_write_over(const Node& node, ValueId result, ValueId variable,
                      std::uint32_t variable_root) {
    for (std::size_t i = 0; i < node.in.size(); ++i) {
      if (place(node.in[i]).root != variable_root) continue;
      const bool same_index = node.op->has(kUpdate) && i < node.out.size() && node.out[i] == result;
      const bool elementwise = node.op->has(kInPlace) && node.out[0] == result;
      if (node.in[i] != variable || !(same_index || elementwise)) return false;
    }
    return true;
  }

  void place_in_place() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (!node.op->has(kInPlace) || !owns_arena_root(node.out[0])) continue;
      for (const ValueId in : node.in)
        if (can_take_over(i, node, in)) {
          move_root(node.out[0], place(in));
          break;
        }
    }
  }

  bool can_take_over(std::size_t index, const Node& node, ValueId in) {
    const Root& r = root(in);
    if (r.kind != Root::Kind::arena || place(in).offset != 0 || r.bytes != bytes(in)) return false;
    if (!(graph_.values[in].spec == graph_.values[node.out[0]].spec)) return false;
    if (root_held_[place(in).root] ||
        root_read_[place(in).root] != static_cast<std::int64_t>(index))
      return false;
    for (const ValueId other : node.in)
      if (other != in && place(other).root == place(in).root) return false;
    return true;
  }

  void touch(ValueId id, std::int64_t when) {
    Root& r = root(id);
    if (r.last < r.first) r.first = r.last = when;
    r.first = std::min(r.first, when);
    r.last = std::max(r.last, when);
  }

  void find_lives() {
    for (Root& r : layout_.roots) r.first = 0, r.last = -1;
    for (const ValueId id : graph_.inputs) touch(id, -1), root(id).first = -1;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (graph_.nodes[i].op->has(kView)) continue;
      for (const ValueId id : graph_.nodes[i].in) touch(id, time_[i]);
      // A further output that nobody reads gets no memory (its kernel gets a null pointer).
      for (const ValueId id : graph_.nodes[i].out)
        if (id == graph_.nodes[i].out[0] || root_read_[place(id).root] >= 0 ||
            root_held_[place(id).root])
          touch(id, time_[i]);
    }
    for (const ValueId id : graph_.outputs) touch(id, end_);
    for (const Assign& a : graph_.assigns) touch(a.value, end_);
    for (const ValueId id : kept_) touch(id, end_), root(id).first = -1;
    if (!reuse_)
      for (Root& r : layout_.roots) r.first = -1, r.last = end_;
  }

  // Outputs and assigned values that lie in state or constants are saved before state changes.
  void save_and_copy() {
    std::vector<bool> is_saved(graph_.values.size(), false);
    const auto save = [&](ValueId id) {
      if (root(id).kind == Root::Kind::arena || is_saved[id]) return;
      is_saved[id] = true;
      const std::uint32_t r = new_root(Root::Kind::arena, bytes(id), id);
      layout_.roots[r].first = layout_.roots[r].last = end_;
      layout_.saved.emplace_back(id, r);
    };
    for (const ValueId id : graph_.outputs)
      if (in_variable_.find(id) == in_variable_.end()) save(id);
    for (const Assign& a : graph_.assigns) {
      const auto it = in_variable_.find(a.value);
      if (it != in_variable_.end() && it->second == a.variable) continue;
      if (a.variable == a.value) continue;
      save(a.value);
      layout_.copies.push_back(a);
    }
  }

  void place_scratch(const std::vector<std::size_t>& scratch_bytes) {
    for (std::size_t u = 0; u < scratch_bytes.size(); ++u) {
      std::uint32_t r = ~0U;
      if (scratch_bytes[u] > 0) {
        r = new_root(Root::Kind::arena, scratch_bytes[u], kNoValue);
        layout_.roots[r].first = layout_.roots[r].last = static_cast<std::int64_t>(u);
      }
      layout_.scratch.push_back(r);
    }
  }

  // Largest first, each at the lowest offset where it meets no buffer that is alive with it.
  void place_arena() {
    std::vector<std::uint32_t> order;
    for (std::uint32_t r = 0; r < layout_.roots.size(); ++r) {
      const Root& root = layout_.roots[r];
      if (root.kind == Root::Kind::arena && root.bytes > 0 && root.last >= root.first)
        order.push_back(r);
    }
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return layout_.roots[a].bytes > layout_.roots[b].bytes;
    });
    std::vector<std::uint32_t> placed;  // by offset
    for (const std::uint32_t r : order) {
      Root& root = layout_.roots[r];
      std::size_t offset = 0;
      for (const std::uint32_t other_index : placed) {
        const Root& other = layout_.roots[other_index];
        if (other.last < root.first || other.first > root.last) continue;
        if (offset + root.bytes <= other.offset) break;
        offset = std::max(offset, aligned(other.offset + other.bytes));
      }
      root.offset = offset;
      layout_.arena_bytes = std::max(layout_.arena_bytes, aligned(offset + root.bytes));
      const auto at = std::upper_bound(
          placed.begin(), placed.end(), offset,
          [&](std::size_t o, std::uint32_t p) { return o < layout_.roots[p].offset; });
      placed.insert(at, r);
    }
  }

  const Graph& graph_;
  const std::vector<ValueId> kept_;
  bool reuse_, borrow_;
  std::int64_t end_;
  std::vector<std::int64_t> time_;               // unit of each node
  std::vector<std::int64_t> maker_;              // by value: the node that makes it
  std::vector<std::int64_t> root_read_;          // by root: last node that reads it
  std::vector<std::vector<ValueId>> living_in_;  // by root
  std::vector<bool> root_held_;
  std::map<ValueId, ValueId> in_variable_;  // values made in a variable
  Layout layout_;
};

}  // namespace

Layout plan_layout(const Graph& graph, const std::vector<Unit>& units,
                   const std::vector<std::size_t>& scratch_bytes, std::vector<ValueId> kept,
                   bool reuse, bool borrow) {
  return Planner(graph, units, std::move(kept), reuse, borrow).run(scratch_bytes);
}

}  // namespace lamina
