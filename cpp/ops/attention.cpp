// Attention of several heads without scores in memory.
//
//   attention(query [B,T,N,D], key [B,S,M,D], value [B,S,M,E],
//             mask bool, broadcast to [B,N,T,S], if has_mask;
//             bias, broadcast likewise, if has_bias;
//             scale, soft_cap = 0 (none), is_causal = false)
//     -> [B,T,N,E]; N is a multiple of M
//
// attention_grad takes the result and d_out after these and makes the shares again: it gives the
// gradients of query, key and value, and with wants_bias that of the bias before it is summed,
// [B,N,T,S].
#include "kernels/attention.h"

#include <algorithm>

#include "ops/op.h"

namespace lamina {
namespace {

constexpr std::size_t kQuery = 0, kKey = 1, kValue = 2;
constexpr std::size_t kAbsent = ~std::size_t{0};

// Which optional inputs there are, and where.
struct Inputs {
  std::size_t mask = kAbsent, bias = kAbsent, count = 3;
  explicit Inputs(const Attrs& attrs) {
    if (attr_bool(attrs, "has_mask", false)) mask = count++;
    if (attr_bool(attrs, "has_bias", false)) bias = count++;
  }
};

AttentionOptions read_options(const Attrs& attrs) {
  AttentionOptions o;
  o.scale = attr_real(attrs, "scale", 1);
  o.soft_cap = attr_real(attrs, "soft_cap", 0);
  o.is_causal = attr_bool(attrs, "is_causal", false);
  return o;
}

Dim merged(Dim a, Dim b, const char* what) {
  const Dim d = dim_merge(a, b);
  if (d == -2)
    shape_error(std::string(what) + " must agree, got " + std::to_string(a) + " and " +
                std::to_string(b));
  return d;
}

void require_over_scores(const Spec& spec, const Shape& scores, const char* operand) {
  bool fits = spec.shape.size() == 4;
  for (std::size_t i = 0; fits && i < 4; ++i)
    fits = spec.shape[i] == 1 || dim_merge(spec.shape[i], scores[i]) != -2;
  if (!fits)
    shape_error(std::string(operand) + " must have the shape of the scores " + to_string(scores) +
                ", or 1 for an axis, got " + to_string(spec.shape));
}

// Checks the operands; the shape of the scores.
Shape infer_scores(const InferArgs& a, const Inputs& at) {
  read_options(a.attrs);
  const Spec &q = a[kQuery], &k = a[kKey], &v = a[kValue];
  require_floating(q, "query");
  require_same_dtype(q, k);
  require_same_dtype(q, v);
  require_rank(q, 4, "query (batch, time, heads, size)");
  require_rank(k, 4, "key (batch, time, heads, size)");
  require_rank(v, 4, "value (batch, time, heads, size)");
  merged(q.shape[3], k.shape[3], "the sizes of query and key");
  const Dim heads = q.shape[2],
            shared = merged(k.shape[2], v.shape[2], "the heads of key and value");
  if (heads > 0 && shared >= 0 && (shared == 0 || heads % shared != 0))
    shape_error("the heads of the query must be a multiple of those of the key, got " +
                std::to_string(heads) + " and " + std::to_string(shared));
  const Dim batch = merged(q.shape[0], merged(k.shape[0], v.shape[0], "the batch"), "the batch");
  const Dim keys = merged(k.shape[1], v.shape[1], "the steps of key and value");
  const Shape scores{batch, heads, q.shape[1], keys};
  if (at.mask != kAbsent) {
    if (a[at.mask].dtype != DType::boolean)
      type_error(std::string("the mask must be bool, got ") + dtype_name(a[at.mask].dtype));
    require_over_scores(a[at.mask], scores, "the mask");
  }
  if (at.bias != kAbsent) {
    require_same_dtype(q, a[at.bias]);
    require_over_scores(a[at.bias], scores, "the bias");
  }
  return scores;
}

std::vector<Spec> infer_forward(const InferArgs& a) {
  const Inputs at(a.attrs);
  require_count(a, at.count);
  const Shape scores = infer_scores(a, at);
  return {Spec{a[kQuery].dtype, {scores[0], scores[2], scores[1], a[kValue].shape[3]}}};
}

std::vector<Spec> infer_grad(const InferArgs& a) {
  const Inputs at(a.attrs);
  require_count(a, at.count + 2);
  const Shape scores = infer_scores(a, at);
  const Shape wanted{scores[0], scores[2], scores[1], a[kValue].shape[3]};
  for (std::size_t k = at.count; k < at.count + 2; ++k) {
    require_same_dtype(a[kQuery], a[k]);
    require_rank(a[k], 4, "the result and d_out (batch, time, heads, size)");
    for (std::size_t i = 0; i < 4; ++i) merged(a[k].shape[i], wanted[i], "the sizes of the result");
  }
  std::vector<Spec> out{a[kQuery], a[kKey], a[kValue]};
  if (attr_bool(a.attrs, "wants_bias", false)) out.push_back({a[kQuery].dtype, scores});
  return out;
}

AttentionShape shape_of(const BindArgs& a) {
  const Shape &q = a.in[kQuery].shape, &k = a.in[kKey].shape;
  return {q[0], q[1], k[1], q[2], k[2], q[3], a.in[kValue].shape[3]};
}

template <class T>
OverScores<T> strides_of(const Spec& spec) {
  OverScores<T> over;
  Dim stride = 1;
  Dim* const axis[] = {&over.batch, &over.head, &over.query, &over.key};
  for (int i = 3; i >= 0; --i) {
    const Dim size = spec.shape[static_cast<std::size_t>(i)];
    *axis[i] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return over;
}

// The call without its pointers.
template <class T>
AttentionForward<T> describe(const BindArgs& a, const Inputs& at) {
  AttentionForward<T> call{};
  call.shape = shape_of(a);
  call.options = read_options(a.attrs);
  if (at.mask != kAbsent) call.mask = strides_of<bool>(a.in[at.mask]);
  if (at.bias != kAbsent) call.bias = strides_of<T>(a.in[at.bias]);
  return call;
}

template <class T>
AttentionForward<T> with_inputs(AttentionForward<T> call, const Run& r, const Inputs& at) {
  call.query = r.in<T>(kQuery);
  call.key = r.in<T>(kKey);
  call.value = r.in<T>(kValue);
  if (at.mask != kAbsent) call.mask.data = r.in<bool>(at.mask);
  if (at.bias != kAbsent) call.bias.data = r.in<T>(at.bias);
  return call;
}

double flops(const AttentionShape& s, double products) {
  const double pairs =
      static_cast<double>(s.batch * s.heads * s.queries) * static_cast<double>(s.keys);
  return pairs * (products * static_cast<double>(s.size + s.value_size) + 25);
}

Bound bind_forward(const BindArgs& a) {
  const Inputs at(a.attrs);
  return with_float(a.in[kQuery].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const AttentionForward<T> described = describe<T>(a, at);
    const auto run = [described, at](const Run& r) {
      AttentionForward<T> call = with_inputs(described, r, at);
      call.out = r.out<T>(0);
      attention_forward(call);
    };
    return {.run = run, .flops = flops(described.shape, 2)};
  });
}

Bound bind_grad(const BindArgs& a) {
  const Inputs at(a.attrs);
  const bool wants_bias = attr_bool(a.attrs, "wants_bias", false);
  const auto size = [&](std::size_t i) {
    return static_cast<std::size_t>(dim_product(a.out[i].shape));
  };
  const std::size_t sizes[] = {size(0), size(1), size(2)};
  return with_float(a.in[kQuery].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const AttentionForward<T> described = describe<T>(a, at);
    // The kernel writes all three; one that nobody reads goes to scratch.
    std::size_t offsets[3], bytes = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      offsets[i] = bytes;
      if (!a.used[i]) bytes += (sizes[i] * sizeof(T) + 63) / 64 * 64;
    }
    const auto run = [=](const Run& r) {
      const auto target = [&](std::size_t i) {
        return r.out<T>(i) != nullptr ? r.out<T>(i) : reinterpret_cast<T*>(r.scratch + offsets[i]);
      };
      attention_backward(AttentionBackward<T>{.forward = with_inputs(described, r, at),
                                              .out = r.in<T>(at.count),
                                              .d_out = r.in<T>(at.count + 1),
                                              .d_query = target(0),
                                              .d_key = target(1),
                                              .d_value = target(2),
                                              .d_bias = wants_bias ? r.out<T>(3) : nullptr});
    };
    return {.run = run, .scratch_bytes = bytes, .flops = flops(described.shape, 5)};
  });
}

Grads vjp(Builder& b, const VjpArgs& v) {
  const Inputs at(v.attrs);
  Attrs attrs = v.attrs;
  const bool wants_bias = at.bias != kAbsent && v.wanted[at.bias];
  attrs["wants_bias"] = wants_bias;
  std::vector<ValueId> in(v.in.begin(), v.in.end());
  in.insert(in.end(), {v.out[0], v.d_out[0]});
  const std::vector<ValueId> d = b.emit_all("attention_grad", in, attrs);
  Grads grads(v.in.size(), kNoValue);
  std::copy(d.begin(), d.begin() + 3, grads.begin());
  if (wants_bias) grads[at.bias] = b.sum_to(d[3], Shape(b.shape(v.in[at.bias])));
  return grads;
}

const Register registered{
    {.name = "attention", .infer = infer_forward, .bind = bind_forward, .vjp = vjp},
    {.name = "attention_grad", .infer = infer_grad, .bind = bind_grad},
};

}  // namespace
}  // namespace lamina
