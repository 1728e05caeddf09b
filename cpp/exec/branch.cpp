// cond and custom_gradient: graphs that run, or are differentiated, in another one's place.
#include "exec/body.h"
#include "exec/control.h"

namespace lamina {
namespace {

// ---- cond(pred, captures of `then`..., captures of `else`...; then, else)
struct Branches {
  GraphPtr yes, no;
  std::size_t count(bool taken) const { return (taken ? yes : no)->inputs.size(); }
};
Branches branches_of(const Attrs& attrs) {
  return {attr_graph(attrs, "then"), attr_graph(attrs, "else")};
}

std::vector<Spec> infer_cond(const InferArgs& a) {
  const Branches g = branches_of(a.attrs);
  require_count(a, 1 + g.count(true) + g.count(false));
  if (a[0].dtype != DType::boolean || !a[0].shape.empty())
    type_error("the predicate must be one bool, got " + to_string(a[0]));
  check_body(*g.yes, a.in.subspan(1, g.count(true)), "then");
  check_body(*g.no, a.in.subspan(1 + g.count(true)), "else");
  std::vector<Spec> out = output_specs(*g.yes);
  const std::vector<Spec> other = output_specs(*g.no);
  if (out.size() != other.size() || out.empty())
    throw Error("the branches return " + std::to_string(out.size()) + " and " +
                std::to_string(other.size()) + " values");
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = merged(out[i], other[i], "the branches differ in value " + std::to_string(i));
  return out;
}

Bound bind_cond(const BindArgs& a) {
  const Branches g = branches_of(a.attrs);
  const Body yes = make_body(*g.yes), no = make_body(*g.no);
  const std::size_t n_yes = g.count(true), n_no = g.count(false), outs = a.out.size();
  return {[=](const Run& r) {
            const bool taken = *r.in<bool>(0);
            RunningBody body(taken ? yes : no);
            body.set_inputs(0, r.ins + 1 + (taken ? 0 : n_yes), taken ? n_yes : n_no);
            body.run(*r.failure);
            for (std::size_t k = 0; k < outs; ++k) body.copy_output(k, r.outs[k]);
          },
          0, std::max(yes.flops, no.flops)};
}

// A branch of the gradient: captures and arriving gradients in, gradients of all wanted captures
// out; those of the other branch are zero.
GraphPtr gradient_branch(const Graph& body, std::span<const Spec> arriving,
                         const std::vector<std::size_t>& outs, std::span<const std::size_t> mine,
                         std::span<const Spec> others, bool others_first) {
  auto graph = std::make_shared<Graph>();
  Builder b(*graph);
  std::vector<ValueId> captures;
  for (const ValueId id : body.inputs) captures.push_back(b.input(body.values[id].spec));
  std::vector<ValueId> seeds_in;
  for (const Spec& spec : arriving) seeds_in.push_back(b.input(spec));
  const std::vector<ValueId> results = append_body(b, body, captures);
  std::vector<Seed> seeds;
  for (std::size_t k = 0; k < outs.size(); ++k) seeds.push_back({results[outs[k]], seeds_in[k]});
  std::vector<ValueId> wrt;
  for (const std::size_t i : mine) wrt.push_back(captures[i]);
  const std::vector<ValueId> grads = pull_back(b, seeds, wrt);
  std::vector<ValueId> zeros;
  for (const Spec& s : others) zeros.push_back(b.broadcast_to(b.scalar(s.dtype, 0), s.shape));
  for (const ValueId id : others_first ? zeros : grads) b.output(id);
  for (const ValueId id : others_first ? grads : zeros) b.output(id);
  return graph;
}

Grads vjp_cond(Builder& b, const VjpArgs& v) {
  const Branches g = branches_of(v.attrs);
  std::vector<std::size_t> outs;
  std::vector<ValueId> arriving;
  std::vector<Spec> arriving_specs;
  for (std::size_t k = 0; k < v.out.size(); ++k)
    if (v.d_out[k] != kNoValue) {
      outs.push_back(k);
      arriving.push_back(v.d_out[k]);
      arriving_specs.push_back(b.spec(v.d_out[k]));
    }
  std::vector<std::size_t> wanted[2];  // by branch: positions among its captures
  std::vector<Spec> specs[2];
  for (std::size_t i = 1; i < v.in.size(); ++i)
    if (v.wanted[i]) {
      const bool second = i > g.count(true);
      wanted[second].push_back(i - 1 - (second ? g.count(true) : 0));
      specs[second].push_back(b.spec(v.in[i]));
    }
  std::vector<ValueId> in{v.in[0]};
  const std::span<const ValueId> captures = v.in.subspan(1);
  for (const bool second : {false, true}) {
    const auto part = captures.subspan(second ? g.count(true) : 0, g.count(!second));
    in.insert(in.end(), part.begin(), part.end());
    in.insert(in.end(), arriving.begin(), arriving.end());
  }
  const std::vector<ValueId> out = b.emit_all(
      "cond", in,
      {{"then", gradient_branch(*g.yes, arriving_specs, outs, wanted[0], specs[1], false)},
       {"else", gradient_branch(*g.no, arriving_specs, outs, wanted[1], specs[0], true)}});
  Grads grads(v.in.size(), kNoValue);
  std::size_t next = 0;
  for (std::size_t i = 1; i < v.in.size(); ++i)
    if (v.wanted[i]) grads[i] = out[next++];
  return grads;
}

// ---- custom_gradient(results..., arguments..., captures...; pullback, results, arguments): the
// results as they are. The pullback takes the gradients that arrive at the floating results, then
// the captures, and returns those of the arguments.
struct Custom {
  GraphPtr pullback;
  std::size_t results, arguments;
};
Custom custom_of(const Attrs& attrs) {
  return {attr_graph(attrs, "pullback"), static_cast<std::size_t>(attr_int(attrs, "results")),
          static_cast<std::size_t>(attr_int(attrs, "arguments"))};
}
std::vector<Spec> infer_custom(const InferArgs& a) {
  const Custom c = custom_of(a.attrs);
  if (c.results + c.arguments > a.in.size() || c.results == 0)
    throw Error("takes at least its results and arguments");
  return {a.in.begin(), a.in.begin() + static_cast<std::ptrdiff_t>(c.results)};
}
Bound bind_custom(const BindArgs& a) {
  std::vector<std::size_t> bytes;
  for (const Spec& spec : a.out) bytes.push_back(byte_size(spec));
  return {[bytes](const Run& r) {
            for (std::size_t k = 0; k < bytes.size(); ++k)
              if (r.outs[k] != nullptr) std::memcpy(r.outs[k], r.ins[k], bytes[k]);
          },
          0, 0};
}
Grads vjp_custom(Builder& b, const VjpArgs& v) {
  const Custom c = custom_of(v.attrs);
  std::vector<ValueId> inputs;
  for (std::size_t k = 0; k < c.results; ++k)
    if (is_floating(b.dtype(v.out[k])))
      inputs.push_back(v.d_out[k] == kNoValue ? b.zeros_like(v.out[k]) : v.d_out[k]);
  const auto captures = v.in.subspan(c.results + c.arguments);
  inputs.insert(inputs.end(), captures.begin(), captures.end());
  const std::vector<ValueId> d = append_body(b, *c.pullback, inputs);
  Grads grads(v.in.size(), kNoValue);
  for (std::size_t i = 0; i < c.arguments && i < d.size(); ++i)
    if (v.wanted[c.results + i]) grads[c.results + i] = d[i];
  return grads;
}

const Register ops{
    {.name = "cond", .traits = kAnyDtype, .infer = infer_cond, .bind = bind_cond, .vjp = vjp_cond},
    {.name = "custom_gradient",
     .traits = kAnyDtype,
     .infer = infer_custom,
     .bind = bind_custom,
     .vjp = vjp_custom},
};

}  // namespace
}  // namespace lamina
