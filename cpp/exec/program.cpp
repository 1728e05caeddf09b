#include "exec/program.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/parallel.h"
#include "graph/steady.h"
#include "lamina/profile.h"

namespace lamina {
namespace {

std::vector<bool> read_values(const Graph& graph) {
  std::vector<bool> read(graph.values.size(), false);
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.in) read[id] = true;
  for (const ValueId id : graph.outputs) read[id] = true;
  for (const Assign& a : graph.assigns) read[a.value] = true;
  return read;
}

void require_known(const Graph& graph) {
  for (const Value& value : graph.values)
    if (!is_known(value.spec.shape))
      throw ShapeError("a program needs every size, but one value is " + to_string(value.spec));
}

// The outer operands of a unit and the results that live on after it.
void outer_values(const Graph& graph, const Unit& unit, const std::vector<int>& readers,
                  std::vector<ValueId>& reads, std::vector<ValueId>& writes) {
  const auto made_inside = [&](ValueId id) {
    return std::any_of(unit.begin(), unit.end(),
                       [&](std::size_t n) { return graph.nodes[n].out[0] == id; });
  };
  for (const std::size_t n : unit)
    for (const ValueId id : graph.nodes[n].in)
      if (!made_inside(id) && std::find(reads.begin(), reads.end(), id) == reads.end())
        reads.push_back(id);
  for (const std::size_t n : unit) {
    const ValueId id = graph.nodes[n].out[0];
    int inside = 0;
    for (const std::size_t m : unit)
      inside +=
          static_cast<int>(std::count(graph.nodes[m].in.begin(), graph.nodes[m].in.end(), id));
    if (readers[id] > inside) writes.push_back(id);
  }
}

std::vector<int> count_readers(const Graph& graph) {
  std::vector<int> readers(graph.values.size(), 0);
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.in) ++readers[id];
  for (const ValueId id : graph.outputs) ++readers[id];
  for (const Assign& a : graph.assigns) ++readers[a.value];
  return readers;
}

// Marks the steps that compute from variables and constants alone, before the program changes any
// state. Returns their results that other steps read: these outlive a run.
std::vector<ValueId> find_steady(const Graph& graph, Program::Impl& impl) {
  constexpr std::size_t kMostBytes = 64 << 20;  // of what outlives a run
  if (!impl.options.fuse) return {};
  const std::vector<bool> steady = steady_values(graph);
  const auto is_steady = [&](ValueId id) { return steady[id]; };
  std::vector<bool> kept(graph.values.size(), false), in_steady(graph.nodes.size(), false);
  for (std::size_t i = 0; i < impl.seam_step && i < impl.steps.size(); ++i) {
    const Step& step = impl.steps[i];
    const bool all = std::all_of(step.unit.begin(), step.unit.end(), [&](std::size_t n) {
      const std::vector<ValueId>& out = graph.nodes[n].out;
      return !out.empty() && std::all_of(out.begin(), out.end(), is_steady);
    });
    for (const std::size_t n : step.unit) in_steady[n] = all;
  }
  std::vector<ValueId> made_steadily(graph.values.size(), kNoValue);  // through views: what by
  std::size_t bytes = 0;
  std::vector<ValueId> results;
  const auto read = [&](ValueId id) {
    const ValueId made = made_steadily[id];
    if (made == kNoValue || kept[made]) return;
    kept[made] = true;
    results.push_back(made);
    bytes += byte_size(graph.values[made].spec);
  };
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.op->has(kView)) {
      made_steadily[node.out[0]] = made_steadily[node.in[0]];
    } else if (in_steady[n]) {
      for (const ValueId id : node.out) made_steadily[id] = id;
    } else {
      for (const ValueId id : node.in) read(id);
    }
  }
  for (const ValueId id : graph.outputs) read(id);
  for (const Assign& a : graph.assigns) read(a.value);
  if (bytes > kMostBytes) return {};
  for (std::size_t i = 0; i < impl.steps.size(); ++i) {
    impl.steps[i].is_steady = in_steady[impl.steps[i].unit[0]];
    impl.has_steady = impl.has_steady || impl.steps[i].is_steady;
  }
  return results;
}

}  // namespace

ProgramOptions default_options() {
  const char* plan = std::getenv("LAMINA_PLAN");
  const bool plain = plan != nullptr && std::string_view(plan) == "plain";
  return {.fuse = !plain, .reuse = !plain};
}

Bound bind_node(const Graph& graph, const Node& node, std::span<const bool> used) {
  std::vector<Spec> in, out;
  for (const ValueId id : node.in) in.push_back(graph.values[id].spec);
  for (const ValueId id : node.out) out.push_back(graph.values[id].spec);
  return bind(*node.op, {in, out, node.attrs, used});
}

std::shared_ptr<Program> Program::make(Graph graph, ProgramOptions options) {
  require_known(graph);
  verify(graph);
  if (options.fuse) {
    simplify(graph);
    fuse(graph);
    verify(graph);
  }
  std::shared_ptr<Program> program(new Program);
  program->impl_ = std::make_unique<Impl>();
  Impl& impl = *program->impl_;
  impl.options = options;
  const std::vector<Unit> units = group_nodes(graph, options.fuse);
  const std::vector<int> readers = count_readers(graph);
  const std::vector<bool> read = read_values(graph);
  std::vector<std::size_t> scratch;
  impl.seam_step = units.size();
  for (const Unit& unit : units) {
    Step step;
    Bound bound;
    step.unit = unit;
    if (unit[0] >= graph.seam) impl.seam_step = std::min(impl.seam_step, impl.steps.size());
    if (unit.size() == 1) {
      const Node& node = graph.nodes[unit[0]];
      step.in = node.in;
      std::unique_ptr<bool[]> used(new bool[node.out.size() + 1]);
      for (std::size_t i = 0; i < node.out.size(); ++i) {
        used[i] = read[node.out[i]];
        step.out.push_back(used[i] || i == 0 ? node.out[i] : kNoValue);
      }
      if (!node.out.empty()) used[0] = true;
      bound = bind_node(graph, node, std::span<const bool>(used.get(), node.out.size()));
    } else {
      outer_values(graph, unit, readers, step.in, step.out);
      bound = bind_group(graph, unit, step.in, step.out);
    }
    step.run = std::move(bound.run);
    step.flops = bound.flops;
    step.bytes_read = bound.bytes_read;
    scratch.push_back(bound.scratch_bytes);
    impl.wants_team = impl.wants_team || bound.flops > kMinParallelWork;
    impl.steps.push_back(std::move(step));
  }
  impl.layout =
      plan_layout(graph, units, scratch, find_steady(graph, impl), options.reuse, options.borrow);
  for (std::size_t i = 0; i < impl.steps.size(); ++i)
    impl.steps[i].scratch = impl.layout.scratch[i];
  impl.graph = std::move(graph);
  return program;
}

Program::~Program() = default;
const Graph& Program::graph() const { return impl_->graph; }
std::size_t Program::arena_bytes() const { return impl_->layout.arena_bytes; }
std::size_t Program::step_count() const { return impl_->steps.size(); }

std::vector<Program::Placement> Program::placements() const {
  std::vector<Placement> placements;
  for (const Root& root : impl_->layout.roots)
    if (root.kind == Root::Kind::arena && root.bytes > 0 && root.last >= root.first)
      placements.push_back({root.offset, root.bytes, root.first, root.last, root.value});
  return placements;
}

std::vector<Dim> Program::input_bounds() const {
  const Graph& graph = impl_->graph;
  std::vector<ValueId> source(graph.values.size());  // through views and casts, back to an input
  for (ValueId id = 0; id < source.size(); ++id) source[id] = id;
  std::map<ValueId, Dim> bound;
  for (const Node& node : graph.nodes) {
    if (node.op->has(kView) || node.op->name == "cast") source[node.out[0]] = source[node.in[0]];
    if (node.op->index_ranges == nullptr) continue;
    std::vector<Spec> specs;
    for (const ValueId id : node.in) specs.push_back(graph.values[id].spec);
    for (const auto& [operand, limit] : node.op->index_ranges({specs, node.attrs})) {
      const ValueId id = source[node.in[operand]];
      const auto it = bound.find(id);
      bound[id] = it == bound.end() ? limit : std::min(it->second, limit);
    }
  }
  std::vector<Dim> bounds;
  for (const ValueId id : graph.inputs) bounds.push_back(bound.count(id) != 0 ? bound[id] : -1);
  return bounds;
}

std::vector<Tensor> Program::run(std::span<const Tensor> inputs) {
  const Graph& g = impl_->graph;
  if (inputs.size() != g.inputs.size())
    throw Error("the program takes " + std::to_string(g.inputs.size()) + " inputs, got " +
                std::to_string(inputs.size()));
  std::vector<const void*> in;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Spec& want = g.values[g.inputs[i]].spec;
    if (!(inputs[i].spec() == want))
      throw ShapeError("input " + std::to_string(i) + " must be " + to_string(want) + ", got " +
                       to_string(inputs[i].spec()));
    in.push_back(inputs[i].raw());
  }
  std::vector<Tensor> outputs;
  std::vector<void*> out;
  for (const ValueId id : g.outputs) {
    outputs.emplace_back(g.values[id].spec);
    out.push_back(outputs.back().raw());
  }
  run_into(in, out);
  return outputs;
}

Program::Lease::Lease(std::shared_ptr<Program> program) : program_(std::move(program)) {
  {
    const std::lock_guard<std::mutex> lock(program_->pool_mutex_);
    recording_ = program_->recording_;
    if (!program_->pool_.empty()) {
      plan_ = std::move(program_->pool_.back());
      program_->pool_.pop_back();
    }
  }
  if (plan_ == nullptr) plan_ = std::make_unique<Plan>(*program_);
  plan_->rebind();
  if (recording_ != nullptr && !recording_->claim()) recording_ = nullptr;
  plan_->set_recording(recording_.get());
}

Program::Lease::~Lease() {
  if (recording_ != nullptr) recording_->release();
  plan_->release();
  const std::lock_guard<std::mutex> lock(program_->pool_mutex_);
  program_->pool_.push_back(std::move(plan_));
}

}  // namespace lamina
