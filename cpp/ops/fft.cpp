// fft(re, im; inverse) -> re, im: the discrete Fourier transform of the last axis. The inverse is
// not divided by the length.
#include "kernels/fft.h"

#include <algorithm>

#include "base/parallel.h"
#include "ops/op.h"

namespace lamina {
namespace {

using kernels::Fourier;
using kernels::Waves;

constexpr int kSlot = 2;  // of the thread's workspace

std::vector<Spec> infer_fft(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "re");
  require_same_dtype(a[0], a[1]);
  if (a[0].shape.empty()) shape_error("re needs at least one axis");
  if (a[0].shape != a[1].shape)
    shape_error("the real part has shape " + to_string(a[0].shape) + ", the imaginary one " +
                to_string(a[1].shape));
  if (a[0].shape.back() == 0) shape_error("the last axis is empty");
  return {a[0], a[0]};
}

Bound bind_fft(const BindArgs& a) {
  const bool inverse = attr_bool(a.attrs, "inverse", false);
  const Dim n = a.in[0].shape.back(), rows = element_count(a.in[0].shape) / n;
  const double cost = 8.0 * static_cast<double>(n) * std::log2(static_cast<double>(n) + 1);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto transform = std::make_shared<const Fourier<T>>(n);
    return {[=](const Run& r) {
              parallel_for(rows, static_cast<Dim>(kMinParallelWork / cost) + 1, [&](Dim b, Dim e) {
                T* scratch =
                    workspace<T>(kSlot, static_cast<std::size_t>(transform->scratch() + 2 * n));
                const Waves<T> x{scratch, scratch + n};
                for (Dim i = b; i < e; ++i) {
                  std::copy_n(r.in<T>(0) + i * n, n, x.re);
                  std::copy_n(r.in<T>(1) + i * n, n, x.im);
                  // Exchanging the parts before and after conjugates twice: the inverse.
                  transform->run(inverse ? Waves<T>{x.im, x.re} : x, scratch + 2 * n);
                  if (r.out<T>(0) != nullptr) std::copy_n(x.re, n, r.out<T>(0) + i * n);
                  if (r.out<T>(1) != nullptr) std::copy_n(x.im, n, r.out<T>(1) + i * n);
                }
              });
            },
            0, cost * static_cast<double>(rows)};
  });
}

// The transform is linear and its matrix symmetric: the adjoint is the other direction.
Grads vjp_fft(Builder& b, const VjpArgs& v) {
  const auto arriving = [&](std::size_t i) {
    return v.d_out[i] == kNoValue ? b.zeros_like(v.out[i]) : v.d_out[i];
  };
  return b.emit_all("fft", {arriving(0), arriving(1)},
                    {{"inverse", !attr_bool(v.attrs, "inverse", false)}});
}

const Register ops{{.name = "fft", .infer = infer_fft, .bind = bind_fft, .vjp = vjp_fft}};

}  // namespace
}  // namespace lamina
