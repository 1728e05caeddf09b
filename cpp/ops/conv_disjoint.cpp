// The transposed convolution whose kernel is as large as its stride, in two ops: one that turns the
// weights, and so need not run again while they stay the same, and one that takes them turned. The
// fusion of a program's graph makes them; no layer asks for them. The results have the bits of
// conv_input_grad.
#include "ops/conv_disjoint.h"

#include "kernels/conv_disjoint.h"
#include "ops/conv.h"

namespace lamina {
namespace {

// ---- turned_weights(w) -> turned, flat

std::vector<Spec> infer_weights(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "the weights");
  if (a[0].shape.size() < 3 || a[0].shape.size() > 5)
    shape_error("the weights must have one to three spatial axes, input and output channels");
  return {{a[0].dtype, {dim_product(a[0].shape)}}};
}

// An image of one window: turning knows the kernel and the channels only.
ConvShape shape_of_weights(const Shape& w) {
  Shape x(w.begin(), w.end() - 1);
  x.insert(x.begin(), 1);
  return conv_shape(x, w, {});
}

Bound bind_weights(const BindArgs& a) {
  const ConvShape s = shape_of_weights(a.in[0].shape);
  Bound bound;
  bound.flops = static_cast<double>(s.weights());
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) { disjoint::turn_weights(s, r.in<T>(0), r.out<T>(0)); };
  });
  return bound;
}

// ---- disjoint_input_grad(dy, turned weights, optional bias; kernel_shape, conv_input_grad's
// attributes) -> dx

Shape kernel_of(const InferArgs& a) {
  return attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
}

std::vector<Spec> infer_input_grad(const InferArgs& a) {
  const Spec kernel{a[0].dtype, kernel_of(a)};
  if (infer_weights({{{kernel}}, {}})[0] != a[1])
    shape_error("the weights are " + to_string(a[1]) + ", not turned ones of a kernel " +
                to_string(kernel.shape));
  std::vector<Spec> in(a.in.begin(), a.in.end());
  in[1] = kernel;
  return find_op("conv_input_grad").infer({in, a.attrs});
}

Bound bind_input_grad(const BindArgs& a) {
  const ConvShape s = conv_shape(a.out[0].shape, kernel_of({a.in, a.attrs}), a.attrs);
  if (!disjoint::suits(s)) shape_error("is for kernels as large as their stride");
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes = static_cast<std::size_t>(disjoint::scratch(s)) * item_size(a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      disjoint::input_grad(s, r.in<T>(0), r.in<T>(1), r.out<T>(0),
                           {.bias = has_bias ? r.in<T>(2) : nullptr, .activation = activation},
                           reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

const Register ops{
    {.name = "turned_weights", .infer = infer_weights, .bind = bind_weights},
    {.name = "disjoint_input_grad", .infer = infer_input_grad, .bind = bind_input_grad},
};

}  // namespace

bool conv_is_disjoint(const Shape& dx, const Shape& w, const Attrs& attrs) {
  return disjoint::suits(conv_shape(dx, w, attrs));
}

}  // namespace lamina
