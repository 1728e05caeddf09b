// Winograd's convolution in two ops: one that transforms the weights, and so need not run again
// while they stay the same, and one that takes them transformed. The fusion of a program's graph
// makes them; no layer asks for them. The results have the bits of conv.
#include "ops/conv_winograd.h"

#include <algorithm>

#include "kernels/winograd.h"
#include "ops/conv.h"
#include "ops/conv_parts.h"

namespace lamina {
namespace {

// ---- winograd_weights(w) -> transformed, flat

// A convolution of an image of one window: of the image the transform knows the channels only.
ConvShape shape_of_weights(const Shape& w) {
  Shape x(w.begin(), w.end() - 1);
  x.insert(x.begin(), 1);
  return conv_shape(x, w, {});
}

std::vector<Spec> infer_weights(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype != DType::f32) type_error("the weights must be float32");
  if (a[0].shape.size() < 3 || a[0].shape.size() > 5)
    shape_error("the weights must have one to three spatial axes, input and output channels");
  const Dim size = is_known(a[0].shape) ? winograd::weights_size(shape_of_weights(a[0].shape)) : 0;
  if (size == 0) shape_error("there is no such convolution by Winograd's way");
  return {{DType::f32, {size}}};
}

Bound bind_weights(const BindArgs& a) {
  const ConvShape s = shape_of_weights(a.in[0].shape);
  Bound bound;
  bound.flops = 8 * static_cast<double>(winograd::weights_size(s));
  bound.run = [=](const Run& r) {
    winograd::transform_weights(s, r.in<float>(0), r.out<float>(0));
  };
  return bound;
}

// ---- winograd_conv(parts of x ..., transformed weights, optional bias; parts, kernel_shape,
// conv's attributes) -> y

std::size_t part_count(const Attrs& attrs) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, attr_int(attrs, "parts", 1)));
}

Spec joined(std::span<const Spec> parts) {
  Spec whole = parts[0];
  for (const Spec& part : parts.subspan(1))
    whole.shape.back() = dim_add(whole.shape.back(), part.shape.back());
  return whole;
}

std::vector<Spec> infer_conv(const InferArgs& a) {
  const std::size_t count = part_count(a.attrs);
  if (a.in.size() != count + 1 && a.in.size() != count + 2)
    throw Error("takes " + std::to_string(count) + " parts, weights and at most a bias");
  for (std::size_t i = 1; i < count; ++i) {
    Shape first = a[0].shape, part = a[i].shape;
    if (first.size() != part.size()) shape_error("the parts differ in rank");
    first.back() = part.back();
    if (first != part) shape_error("the parts differ in more than their channels");
  }
  const Shape w = attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
  std::vector<Spec> whole{joined(a.in.first(count)), {a[count].dtype, w}};
  whole.insert(whole.end(), a.in.begin() + static_cast<std::ptrdiff_t>(count) + 1, a.in.end());
  const Spec y = conv_spec({whole, a.attrs});
  if (infer_weights({{{whole[1]}}, {}})[0] != a[count])
    shape_error("the weights are " + to_string(a[count]) + ", not transformed ones of a kernel " +
                to_string(w));
  return {y};
}

Bound bind_conv(const BindArgs& a) {
  const std::size_t count = part_count(a.attrs);
  std::vector<Dim> channels;
  for (const Spec& part : a.in.first(count)) channels.push_back(part.shape.back());
  const Spec x = joined(a.in.first(count));
  const Shape w = attr_shape(a.attrs, "kernel_shape", x.shape.size());
  if (!winograd::pays(conv_shape(x.shape, w, a.attrs)) ||
      (count > 1 && !winograd::can_be_parts(channels)))
    shape_error("is for what goes Winograd's way, in parts of whole vectors; got input " +
                to_string(x) + " and kernel " + to_string(w));
  const ConvShape s = conv_shape(x.shape, w, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == count + 2;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.run = [=](const Run& r) {
    winograd::conv_transformed(s, {channels, r.ins}, r.in<float>(count), {{&s.out_c, 1}, r.outs},
                               {has_bias ? r.in<float>(count + 1) : nullptr, activation});
  };
  return bound;
}

// ---- winograd_conv_max(x [n, steps, channels], transformed weights, optional bias; kernel_shape,
// conv's attributes) -> the largest output of each filter [n, filters]. With has_words the last
// input are ids [n, steps], and x are their rows in the table that stands in its place.

struct MaxInputs {
  Spec x;
  Shape kernel;
  bool has_words, has_bias;

  explicit MaxInputs(const InferArgs& a)
      : x(a[0]),
        has_words(attr_bool(a.attrs, "has_words", false)),
        has_bias(a.in.size() > (has_words ? 3 : 2)) {
    if (a.in.size() < 2 || a.in.size() > (has_words ? 4 : 3))
      throw Error("takes x, weights, at most a bias, and the ids of words");
    if (has_words) {
      require_integer(a.in.back(), "ids");
      require_rank(a.in.back(), 2, "ids");
      require_rank(x, 2, "the table");
      x.shape.insert(x.shape.begin(), a.in.back().shape[0]);
      x.shape[1] = a.in.back().shape[1];
    }
    require_rank(x, 3, "x");
    kernel = attr_shape(a.attrs, "kernel_shape", 3);
  }
};

std::vector<Spec> infer_max(const InferArgs& a) {
  const MaxInputs inputs(a);
  std::vector<Spec> of_conv{inputs.x, a[1]};
  if (inputs.has_bias) of_conv.push_back(a[2]);
  const Spec map = infer_conv({of_conv, a.attrs})[0];
  return {{map.dtype, {map.shape[0], map.shape[2]}}};
}

std::vector<std::pair<std::size_t, Dim>> ranges_of_max(const InferArgs& a) {
  if (!MaxInputs(a).has_words) return {};
  return {{a.in.size() - 1, a[0].shape[0]}};
}

// An id that the table has no row for is noted.
template <class I>
bool are_rows(const I* ids, Dim count, Dim rows, Failure* failure) {
  const I* const end = ids + count;
  const I* const wrong =
      std::find_if(ids, end, [=](I id) { return id < 0 || static_cast<Dim>(id) >= rows; });
  if (wrong == end) return true;
  failure->note("index %lld is out of range", static_cast<long long>(*wrong));
  return false;
}

Bound bind_max(const BindArgs& a) {
  const MaxInputs inputs({a.in, a.attrs});
  if (!winograd_conv_has_max(inputs.x.shape, inputs.kernel, a.attrs))
    shape_error("is for what goes Winograd's way along one axis, linear or with relu");
  const ConvShape s = conv_shape(inputs.x.shape, inputs.kernel, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = inputs.has_bias;
  const auto run = [=](const Run& r, const winograd::Places& x) {
    winograd::maxima_transformed(s, x, r.in<float>(1), r.out<float>(0),
                                 {has_bias ? r.in<float>(2) : nullptr, activation},
                                 reinterpret_cast<float*>(r.scratch));
  };
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes = static_cast<std::size_t>(winograd::maxima_scratch(s)) * sizeof(float);
  if (!inputs.has_words) {
    bound.run = [=](const Run& r) { run(r, {r.in<float>(0)}); };
    return bound;
  }
  const std::size_t last = a.in.size() - 1;
  const Dim rows = a.in[0].shape[0], words = s.batch * s.in[2];
  bound.run = with_index(a.in[last].dtype, [&](auto tag) -> Kernel {
    using I = decltype(tag);
    return [=](const Run& r) {
      const I* const ids = r.in<I>(last);
      if (are_rows(ids, words, rows, r.failure))
        run(r, {r.in<float>(0), ids, sizeof(I) == sizeof(std::int64_t)});
      else
        std::fill_n(r.out<float>(0), s.batch * s.out_c, 0.f);
    };
  });
  return bound;
}

const Register ops{
    {.name = "winograd_weights", .infer = infer_weights, .bind = bind_weights},
    {.name = "winograd_conv", .infer = infer_conv, .bind = bind_conv},
    {.name = "winograd_conv_max",
     .infer = infer_max,
     .bind = bind_max,
     .index_ranges = ranges_of_max},
};

}  // namespace

bool winograd_conv_has_max(const Shape& x, const Shape& w, const Attrs& attrs) {
  const Activation activation = activation_of(attrs);
  return x.size() == 3 && (activation == Activation::linear || activation == Activation::relu) &&
         winograd::has_maxima(conv_shape(x, w, attrs));
}

Dim kept_weights_size(std::span<const Spec> images, const Shape& w, const Attrs& attrs) {
  const Spec x = joined(images);
  if (!winograd_allowed(x.dtype, attrs)) return 0;
  const ConvShape s = conv_shape(x.shape, w, attrs);
  return winograd::pays(s) && winograd::transform_counts(s) ? winograd::weights_size(s) : 0;
}

}  // namespace lamina
