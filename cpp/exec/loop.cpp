// while and scan: a body that runs again and again on its own results.
#include "exec/body.h"
#include "exec/control.h"

namespace lamina {
namespace {

std::size_t attr_count(const Attrs& attrs, std::string_view name) {
  const std::int64_t count = attr_int(attrs, name);
  if (count < 0) throw Error("attribute '" + std::string(name) + "' must not be negative");
  return static_cast<std::size_t>(count);
}

// ---- while(variables..., captures of `cond`..., captures of `body`...; cond, body, variables,
// maximum = -1): the variables after body has run as long as cond holds.
struct While {
  GraphPtr cond, body;
  std::size_t variables, cond_captures, body_captures;
  std::int64_t maximum;
};
While while_of(const Attrs& attrs) {
  While w{attr_graph(attrs, "cond"),
          attr_graph(attrs, "body"),
          attr_count(attrs, "variables"),
          0,
          0,
          attr_int(attrs, "maximum", -1)};
  if (w.cond->inputs.size() < w.variables || w.body->inputs.size() < w.variables)
    throw Error("cond and body must take every variable");
  w.cond_captures = w.cond->inputs.size() - w.variables;
  w.body_captures = w.body->inputs.size() - w.variables;
  return w;
}
template <class Item>
std::vector<Item> variables_and(std::span<const Item> in, const While& w, bool for_body) {
  std::vector<Item> out(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(w.variables));
  const auto captures = in.subspan(w.variables + (for_body ? w.cond_captures : 0),
                                   for_body ? w.body_captures : w.cond_captures);
  out.insert(out.end(), captures.begin(), captures.end());
  return out;
}

std::vector<Spec> infer_while(const InferArgs& a) {
  const While w = while_of(a.attrs);
  require_count(a, w.variables + w.cond_captures + w.body_captures);
  check_body(*w.cond, variables_and(a.in, w, false), "cond");
  check_body(*w.body, variables_and(a.in, w, true), "body");
  const std::vector<Spec> test = output_specs(*w.cond), next = output_specs(*w.body);
  if (test.size() != 1 || test[0].dtype != DType::boolean || !test[0].shape.empty())
    type_error("cond must return one bool");
  if (next.size() != w.variables || next.empty())
    throw Error("body must return the " + std::to_string(w.variables) + " variables");
  std::vector<Spec> out;
  for (std::size_t i = 0; i < w.variables; ++i)
    out.push_back(merged(a[i], next[i], "body changes variable " + std::to_string(i)));
  return out;
}

Bound bind_while(const BindArgs& a) {
  const While w = while_of(a.attrs);
  const Body cond = make_body(*w.cond), body = make_body(*w.body);
  const LoopState state(a.out);
  const std::size_t n = w.variables;
  return {[=](const Run& r) {
            RunningBody test(cond), step(body);
            test.set_inputs(n, r.ins + n, w.cond_captures);
            step.set_inputs(n, r.ins + n + w.cond_captures, w.body_captures);
            const auto now = [&](std::int64_t done, std::size_t i) -> const void* {
              return done == 0 ? r.ins[i] : state.buffer(r.scratch, i, done % 2 == 1);
            };
            std::int64_t done = 0;
            for (; w.maximum < 0 || done < w.maximum; ++done) {
              for (std::size_t i = 0; i < n; ++i) {
                test.set_input(i, now(done, i));
                step.set_input(i, now(done, i));
              }
              if (!test.run(*r.failure) || !*static_cast<const bool*>(test.output(0))) break;
              if (!step.run(*r.failure)) break;
              for (std::size_t i = 0; i < n; ++i)
                step.copy_output(i, state.buffer(r.scratch, i, done % 2 == 0));
            }
            for (std::size_t i = 0; i < n; ++i)
              if (r.outs[i] != nullptr) std::memcpy(r.outs[i], now(done, i), state.size(i));
          },
          state.bytes(), 16 * (cond.flops + body.flops)};
}

// One step of the loop for a fixed number of steps: body while cond holds, then nothing changes.
GraphPtr bounded_step(const While& w, std::span<const Spec> in) {
  auto identity = std::make_shared<Graph>(), step = std::make_shared<Graph>();
  Builder keep(*identity), b(*step);
  std::vector<ValueId> all;
  for (const Spec& spec : in) all.push_back(b.input(spec));
  for (std::size_t i = 0; i < w.variables; ++i) keep.output(keep.input(in[i]));
  const std::span<const ValueId> span(all);
  std::vector<ValueId> operands{append_body(b, *w.cond, variables_and(span, w, false)).at(0)};
  const std::vector<ValueId> body_in = variables_and(span, w, true);
  operands.insert(operands.end(), body_in.begin(), body_in.end());
  operands.insert(operands.end(), all.begin(),
                  all.begin() + static_cast<std::ptrdiff_t>(w.variables));
  for (const ValueId id :
       b.emit_all("cond", operands, {{"then", w.body}, {"else", GraphPtr(identity)}}))
    b.output(id);
  return step;
}

Grads vjp_while(Builder& b, const VjpArgs& v) {
  const While w = while_of(v.attrs);
  if (w.maximum < 0)
    throw Error(
        "a while loop of unknown length has no gradient. Pass maximum_iterations, use scan or "
        "fori_loop with a known length, or wrap the result in stop_gradient.");
  std::vector<Spec> in;
  for (const ValueId id : v.in) in.push_back(b.spec(id));
  const Attrs attrs{{"body", bounded_step(w, in)},
                    {"carries", static_cast<std::int64_t>(w.variables)},
                    {"xs", std::int64_t{0}},
                    {"length", w.maximum},
                    {"reverse", false}};
  const std::vector<ValueId> out = b.emit_all("scan", v.in, attrs);
  std::vector<ValueId> d_out(out.size(), kNoValue);
  std::copy(v.d_out.begin(), v.d_out.end(), d_out.begin());
  return find_op("scan").vjp(b, {attrs, v.in, out, d_out, v.wanted});
}

// ---- scan(carries..., xs..., captures...; body, carries, xs, length, reverse)
// -> last carries..., stacked results..., the carries before each step...
struct Scan {
  GraphPtr body;
  std::size_t carries, xs, ys, captures;
  Dim length;
  bool reverse;
};
Scan scan_of(const Attrs& attrs) {
  Scan s{
      attr_graph(attrs, "body"), attr_count(attrs, "carries"),      attr_count(attrs, "xs"), 0, 0,
      attr_int(attrs, "length"), attr_bool(attrs, "reverse", false)};
  if (s.body->outputs.size() < s.carries || s.body->inputs.size() < s.carries + s.xs)
    throw Error("body must take the carries and the slices and return the carries");
  s.ys = s.body->outputs.size() - s.carries;
  s.captures = s.body->inputs.size() - s.carries - s.xs;
  return s;
}
Spec slice_of(const Spec& stacked) {
  if (stacked.shape.empty()) shape_error("what is scanned needs at least one axis");
  return {stacked.dtype, Shape(stacked.shape.begin() + 1, stacked.shape.end())};
}
Spec stack_of(const Spec& slice, Dim length) {
  Spec out = slice;
  out.shape.insert(out.shape.begin(), length);
  return out;
}

std::vector<Spec> infer_scan(const InferArgs& a) {
  const Scan s = scan_of(a.attrs);
  require_count(a, s.carries + s.xs + s.captures);
  std::vector<Spec> in(a.in.begin(), a.in.end());
  for (std::size_t i = s.carries; i < s.carries + s.xs; ++i) {
    in[i] = slice_of(a[i]);
    if (dim_merge(a[i].shape[0], s.length) == -2)
      shape_error("the scanned axes differ: " + std::to_string(a[i].shape[0]) + " and " +
                  std::to_string(s.length));
  }
  check_body(*s.body, in, "body");
  const std::vector<Spec> results = output_specs(*s.body);
  std::vector<Spec> out;
  for (std::size_t i = 0; i < results.size(); ++i)
    out.push_back(i < s.carries
                      ? merged(a[i], results[i], "body changes carry " + std::to_string(i))
                      : stack_of(results[i], s.length));
  for (std::size_t i = 0; i < s.carries; ++i) out.push_back(stack_of(a[i], s.length));
  return out;
}

Bound bind_scan(const BindArgs& a) {
  const Scan s = scan_of(a.attrs);
  const Body body = make_body(*s.body);
  const LoopState state(a.in.first(s.carries));
  std::vector<std::size_t> slice_bytes;
  for (std::size_t i = 0; i < s.xs; ++i)
    slice_bytes.push_back(byte_size(slice_of(a.in[s.carries + i])));
  const std::size_t first_history = s.carries + s.ys;
  return {[=](const Run& r) {
            RunningBody step(body);
            step.set_inputs(s.carries + s.xs, r.ins + s.carries + s.xs, s.captures);
            const auto now = [&](Dim done, std::size_t i) -> const void* {
              return done == 0 ? r.ins[i] : state.buffer(r.scratch, i, done % 2 == 1);
            };
            Dim done = 0;
            for (; done < s.length; ++done) {
              const auto t = static_cast<std::size_t>(s.reverse ? s.length - 1 - done : done);
              for (std::size_t i = 0; i < s.carries; ++i) {
                step.set_input(i, now(done, i));
                if (auto* history = r.out<std::byte>(first_history + i))
                  std::memcpy(history + t * state.size(i), now(done, i), state.size(i));
              }
              for (std::size_t i = 0; i < s.xs; ++i)
                step.set_input(s.carries + i, r.in<std::byte>(s.carries + i) + t * slice_bytes[i]);
              if (!step.run(*r.failure)) break;
              for (std::size_t i = 0; i < s.carries; ++i)
                step.copy_output(i, state.buffer(r.scratch, i, done % 2 == 0));
              for (std::size_t k = s.carries; k < first_history; ++k)
                if (auto* stack = r.out<std::byte>(k))
                  step.copy_output(k, stack + t * body.output_bytes[k]);
            }
            for (std::size_t i = 0; i < s.carries; ++i)
              if (r.outs[i] != nullptr) std::memcpy(r.outs[i], now(done, i), state.size(i));
          },
          state.bytes(), static_cast<double>(s.length) * body.flops};
}

// The reverse pass is a scan the other way. It carries the gradients of the floating carries and
// sums of those of the wanted captures; each step runs the body again from the carries before it.
class ReverseScan {
 public:
  ReverseScan(Builder& outer, const VjpArgs& v)
      : outer_(outer), v_(v), s_(scan_of(v.attrs)), b_(*graph_) {
    for (std::size_t i = 0; i < s_.carries; ++i)
      if (is_floating(outer.dtype(v.in[i]))) floating_.push_back(i);
    for (std::size_t i = s_.carries; i < v.in.size(); ++i)
      if (v.wanted[i]) (i < s_.carries + s_.xs ? wanted_xs_ : wanted_captures_).push_back(i);
  }

  Grads run() {
    declare_carries();
    const std::vector<ValueId> operands = declare_body_inputs();
    const std::vector<ValueId> results = append_body(b_, *s_.body, operands);
    for (std::size_t k = 0; k < floating_.size(); ++k)
      seeds_.push_back({results[floating_[k]], carried_[k]});
    for (const auto& [k, slice] : arriving_ys_) seeds_.push_back({results[k], slice});
    write_outputs(operands);
    return emit();
  }

 private:
  ValueId new_carry(const Spec& spec, ValueId initial) {
    initial_.push_back(initial);
    return b_.input(spec);
  }
  ValueId new_slice(ValueId stacked) {
    xs_.push_back(stacked);
    return b_.input(slice_of(outer_.spec(stacked)));
  }

  void declare_carries() {
    for (const std::size_t i : floating_) {
      const ValueId d = v_.d_out[i];
      const ValueId initial = d == kNoValue ? outer_.zeros_like(v_.in[i]) : d;
      carried_.push_back(new_carry(outer_.spec(v_.in[i]), initial));
    }
    for (const std::size_t i : wanted_captures_)
      sums_.push_back(new_carry(outer_.spec(v_.in[i]), outer_.zeros_like(v_.in[i])));
  }

  std::vector<ValueId> declare_body_inputs() {
    std::vector<ValueId> operands;
    const std::size_t first_history = s_.carries + s_.ys;
    for (std::size_t i = 0; i < s_.carries; ++i)
      operands.push_back(new_slice(v_.out[first_history + i]));
    for (std::size_t i = 0; i < s_.xs; ++i) operands.push_back(new_slice(v_.in[s_.carries + i]));
    for (std::size_t k = s_.carries; k < v_.out.size(); ++k)
      if (v_.d_out[k] != kNoValue)
        (k < first_history ? arriving_ys_ : arriving_history_)
            .emplace_back(k < first_history ? k : k - first_history, new_slice(v_.d_out[k]));
    for (std::size_t i = s_.carries + s_.xs; i < v_.in.size(); ++i)
      operands.push_back(b_.input(outer_.spec(v_.in[i])));
    return operands;
  }

  void write_outputs(const std::vector<ValueId>& operands) {
    std::vector<ValueId> wrt;
    for (const auto* group : {&floating_, &wanted_captures_, &wanted_xs_})
      for (const std::size_t i : *group) wrt.push_back(operands[i]);
    std::vector<ValueId> grads = pull_back(b_, seeds_, wrt);
    for (const auto& [i, slice] : arriving_history_)
      for (std::size_t k = 0; k < floating_.size(); ++k)
        if (floating_[k] == i) grads[k] = b_.add(grads[k], slice);
    for (std::size_t k = 0; k < sums_.size(); ++k)
      grads[floating_.size() + k] = b_.add(sums_[k], grads[floating_.size() + k]);
    for (const ValueId id : grads) b_.output(id);
  }

  Grads emit() {
    std::vector<ValueId> in = initial_;
    in.insert(in.end(), xs_.begin(), xs_.end());
    in.insert(in.end(), v_.in.begin() + static_cast<std::ptrdiff_t>(s_.carries + s_.xs),
              v_.in.end());
    const std::vector<ValueId> out =
        outer_.emit_all("scan", in,
                        {{"body", GraphPtr(graph_)},
                         {"carries", static_cast<std::int64_t>(initial_.size())},
                         {"xs", static_cast<std::int64_t>(xs_.size())},
                         {"length", s_.length},
                         {"reverse", !s_.reverse}});
    Grads grads(v_.in.size(), kNoValue);
    std::size_t next = 0;
    for (const auto* group : {&floating_, &wanted_captures_, &wanted_xs_})
      for (const std::size_t i : *group) grads[i] = out[next++];
    return grads;
  }

  Builder& outer_;
  const VjpArgs& v_;
  Scan s_;
  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>();
  Builder b_;
  std::vector<std::size_t> floating_, wanted_captures_, wanted_xs_;  // positions among the inputs
  std::vector<ValueId> initial_, xs_;    // operands of the reverse scan, in the outer graph
  std::vector<ValueId> carried_, sums_;  // its carries, in the body
  std::vector<Seed> seeds_;
  std::vector<std::pair<std::size_t, ValueId>> arriving_ys_, arriving_history_;
};

Grads vjp_scan(Builder& b, const VjpArgs& v) {
  const Scan s = scan_of(v.attrs);
  if (s.carries + s.xs + s.captures == 0) return {};
  return ReverseScan(b, v).run();
}

const Register ops{
    {.name = "while",
     .traits = kAnyDtype,
     .infer = infer_while,
     .bind = bind_while,
     .vjp = vjp_while},
    {.name = "scan", .traits = kAnyDtype, .infer = infer_scan, .bind = bind_scan, .vjp = vjp_scan},
};

}  // namespace
}  // namespace lamina
