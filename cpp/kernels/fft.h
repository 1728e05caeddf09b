// Discrete Fourier transforms of any length. Lengths whose prime factors are small run by
// Stockham's mixed-radix algorithm (every pass reads one buffer in order and writes another), the
// others as a convolution of a power-of-two length (Bluestein). Twiddles are made in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

namespace lamina::kernels {

template <class T>
struct Waves {  // one complex sequence, real and imaginary parts apart
  T *re, *im;
  Waves operator+(std::int64_t n) const { return {re + n, im + n}; }
};

// exp(-2 pi i k / n)
template <class T>
void root_of_unity(std::int64_t k, std::int64_t n, T* re, T* im) {
  const double angle = -2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  *re = static_cast<T>(std::cos(angle));
  *im = static_cast<T>(std::sin(angle));
}

// Forward transforms of one length, unscaled. The inverse is the same with the parts exchanged.
template <class T>
class Fourier {
 public:
  explicit Fourier(std::int64_t n) : n_(n) {
    std::int64_t rest = n;
    for (std::int64_t radix : {4, 2, 3, 5, 7, 11, 13})
      while (rest % radix == 0) add_pass(radix, rest), rest /= radix;
    if (rest > 1) prepare_bluestein();
  }

  std::int64_t length() const { return n_; }
  // Numbers of T that `run` needs beside the data.
  std::int64_t scratch() const {
    return convolver_ == nullptr ? 2 * n_ : 2 * padded_ + convolver_->scratch();
  }

  // Transforms `x` (n elements) in place.
  void run(Waves<T> x, T* scratch) const {
    if (convolver_ != nullptr) return bluestein(x, scratch);
    Waves<T> from = x, to{scratch, scratch + n_};
    std::int64_t stride = 1;
    for (const Pass& pass : passes_) {
      step(pass, stride, from, to);
      std::swap(from, to);
      stride *= pass.radix;
    }
    if (from.re != x.re)
      for (std::int64_t i = 0; i < n_; ++i) x.re[i] = from.re[i], x.im[i] = from.im[i];
  }

 private:
  struct Pass {
    std::int64_t radix, groups;       // the length before the pass is radix * groups
    std::vector<T> re, im;            // twiddles [groups][radix]
    std::vector<T> root_re, root_im;  // exp(-2 pi i k / radix)
  };

  void add_pass(std::int64_t radix, std::int64_t length) {
    Pass p{radix, length / radix, {}, {}, {}, {}};
    p.re.resize(static_cast<std::size_t>(length));
    p.im.resize(p.re.size());
    for (std::int64_t g = 0; g < p.groups; ++g)
      for (std::int64_t j = 0; j < radix; ++j)
        root_of_unity(g * j, length, &p.re[static_cast<std::size_t>(g * radix + j)],
                      &p.im[static_cast<std::size_t>(g * radix + j)]);
    p.root_re.resize(static_cast<std::size_t>(radix));
    p.root_im.resize(p.root_re.size());
    for (std::int64_t j = 0; j < radix; ++j)
      root_of_unity(j, radix, &p.root_re[static_cast<std::size_t>(j)],
                    &p.root_im[static_cast<std::size_t>(j)]);
    passes_.push_back(std::move(p));
  }

  static void step(const Pass& p, std::int64_t stride, Waves<T> from, Waves<T> to) {
    for (std::int64_t g = 0; g < p.groups; ++g) {
      const T* re = p.re.data() + g * p.radix;
      const T* im = p.im.data() + g * p.radix;
      const Waves<T> a = from + stride * g, y = to + stride * p.radix * g;
      if (p.radix == 2)
        butterfly_2(re, im, stride, stride * p.groups, a, y);
      else if (p.radix == 4)
        butterfly_4(re, im, stride, stride * p.groups, a, y);
      else
        butterfly(p, re, im, stride, a, y);
    }
  }

  static void butterfly_2(const T* re, const T* im, std::int64_t stride, std::int64_t far,
                          Waves<T> a, Waves<T> y) {
    const T wr = re[1], wi = im[1];
    for (std::int64_t q = 0; q < stride; ++q) {
      const T dr = a.re[q] - a.re[q + far], di = a.im[q] - a.im[q + far];
      y.re[q] = a.re[q] + a.re[q + far];
      y.im[q] = a.im[q] + a.im[q + far];
      y.re[q + stride] = dr * wr - di * wi;
      y.im[q + stride] = dr * wi + di * wr;
    }
  }

  static void butterfly_4(const T* re, const T* im, std::int64_t stride, std::int64_t far,
                          Waves<T> a, Waves<T> y) {
    for (std::int64_t q = 0; q < stride; ++q) {
      const T sr = a.re[q] + a.re[q + 2 * far], si = a.im[q] + a.im[q + 2 * far];
      const T dr = a.re[q] - a.re[q + 2 * far], di = a.im[q] - a.im[q + 2 * far];
      const T tr = a.re[q + far] + a.re[q + 3 * far], ti = a.im[q + far] + a.im[q + 3 * far];
      const T er = a.re[q + far] - a.re[q + 3 * far], ei = a.im[q + far] - a.im[q + 3 * far];
      const T br[4] = {sr + tr, dr + ei, sr - tr, dr - ei};
      const T bi[4] = {si + ti, di - er, si - ti, di + er};
      for (int j = 0; j < 4; ++j) {
        y.re[q + j * stride] = br[j] * re[j] - bi[j] * im[j];
        y.im[q + j * stride] = br[j] * im[j] + bi[j] * re[j];
      }
    }
  }

  static void butterfly(const Pass& p, const T* re, const T* im, std::int64_t stride, Waves<T> a,
                        Waves<T> y) {
    const std::int64_t far = stride * p.groups;
    for (std::int64_t j = 0; j < p.radix; ++j)
      for (std::int64_t q = 0; q < stride; ++q) {
        T br = 0, bi = 0;
        for (std::int64_t k = 0; k < p.radix; ++k) {
          const auto w = static_cast<std::size_t>(j * k % p.radix);
          const T xr = a.re[q + k * far], xi = a.im[q + k * far];
          br += xr * p.root_re[w] - xi * p.root_im[w];
          bi += xr * p.root_im[w] + xi * p.root_re[w];
        }
        y.re[q + j * stride] = br * re[j] - bi * im[j];
        y.im[q + j * stride] = br * im[j] + bi * re[j];
      }
  }

  // jk = (j^2 + k^2 - (j - k)^2) / 2 turns the transform into a convolution with a chirp.
  void prepare_bluestein() {
    passes_.clear();
    padded_ = 1;
    while (padded_ < 2 * n_ - 1) padded_ *= 2;
    convolver_ = std::make_unique<Fourier>(padded_);
    chirp_re_.resize(static_cast<std::size_t>(n_));
    chirp_im_.resize(chirp_re_.size());
    kernel_re_.assign(static_cast<std::size_t>(padded_), T{0});
    kernel_im_.assign(static_cast<std::size_t>(padded_), T{0});
    for (std::int64_t k = 0; k < n_; ++k) {
      const auto i = static_cast<std::size_t>(k);
      root_of_unity(k * k % (2 * n_), 2 * n_, &chirp_re_[i], &chirp_im_[i]);
      for (const std::int64_t at : {k, (padded_ - k) % padded_}) {
        kernel_re_[static_cast<std::size_t>(at)] = chirp_re_[i];
        kernel_im_[static_cast<std::size_t>(at)] = -chirp_im_[i];
      }
    }
    std::vector<T> scratch(static_cast<std::size_t>(convolver_->scratch()));
    convolver_->run({kernel_re_.data(), kernel_im_.data()}, scratch.data());
  }

  void bluestein(Waves<T> x, T* scratch) const {
    T *re = scratch, *im = scratch + padded_;
    for (std::int64_t k = 0; k < padded_; ++k) re[k] = im[k] = T{0};
    for (std::int64_t k = 0; k < n_; ++k) {
      re[k] = x.re[k] * chirp_re_[k] - x.im[k] * chirp_im_[k];
      im[k] = x.re[k] * chirp_im_[k] + x.im[k] * chirp_re_[k];
    }
    T* rest = scratch + 2 * padded_;
    convolver_->run({re, im}, rest);
    for (std::int64_t k = 0; k < padded_; ++k) {
      const T r = re[k] * kernel_re_[k] - im[k] * kernel_im_[k];
      im[k] = re[k] * kernel_im_[k] + im[k] * kernel_re_[k];
      re[k] = r;
    }
    convolver_->run({im, re}, rest);  // the inverse
    const T scale = T{1} / static_cast<T>(padded_);
    for (std::int64_t k = 0; k < n_; ++k) {
      x.re[k] = (re[k] * chirp_re_[k] - im[k] * chirp_im_[k]) * scale;
      x.im[k] = (re[k] * chirp_im_[k] + im[k] * chirp_re_[k]) * scale;
    }
  }

  std::int64_t n_, padded_ = 0;
  std::vector<Pass> passes_;
  std::unique_ptr<Fourier> convolver_;  // Bluestein's
  std::vector<T> chirp_re_, chirp_im_, kernel_re_, kernel_im_;
};

}  // namespace lamina::kernels
