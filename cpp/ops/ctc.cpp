// ctc_beam_search(log_probabilities [batch, steps, classes], lengths int32 [batch]; beam_width,
// top_paths, blank) -> labels int32 [paths, batch, steps] padded with -1, scores [batch, paths].
// Decoding is no part of training: its trees are allocated as they grow.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "base/parallel.h"
#include "ops/op.h"

namespace lamina {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a != a || b != b) return a + b;  // max() would drop a NaN
  const double high = std::max(a, b);
  return high == kNever ? kNever : high + std::log1p(std::exp(std::min(a, b) - high));
}

// A prefix of labels, with the probabilities of the ways to read it that end in a blank or not.
struct Prefix {
  Prefix* parent = nullptr;
  std::int32_t label = -1;
  std::map<std::int32_t, std::unique_ptr<Prefix>> longer;
  double blank = kNever, spoken = kNever, new_blank = kNever, new_spoken = kNever;
  bool is_candidate = false;
  double score() const { return log_add(blank, spoken); }
};

class BeamSearch {
 public:
  BeamSearch(Dim classes, Dim width, std::int32_t blank)
      : classes_(classes), width_(static_cast<std::size_t>(width)), blank_(blank) {
    root_.blank = 0;
    beam_.push_back(&root_);
  }

  template <class T>
  void step(const T* log_p) {
    candidates_.clear();
    for (Prefix* p : beam_) {
      const double total = p->score();
      touch(*p);
      p->new_blank = log_add(p->new_blank, total + log_p[blank_]);
      if (p->label >= 0) p->new_spoken = log_add(p->new_spoken, p->spoken + log_p[p->label]);
      for (std::int32_t c = 0; c < classes_; ++c) {
        if (c == blank_) continue;
        Prefix& next = extend(*p, c);
        // The same label again needs a blank between.
        next.new_spoken = log_add(next.new_spoken, (c == p->label ? p->blank : total) + log_p[c]);
      }
    }
    for (Prefix* p : beam_) p->blank = p->spoken = kNever;
    for (Prefix* p : candidates_) {
      p->blank = std::exchange(p->new_blank, kNever);
      p->spoken = std::exchange(p->new_spoken, kNever);
      p->is_candidate = false;
    }
    beam_ = candidates_;
    std::stable_sort(beam_.begin(), beam_.end(),
                     [](const Prefix* a, const Prefix* b) { return a->score() > b->score(); });
    while (beam_.size() > width_) {
      forget(*beam_.back());
      beam_.pop_back();
    }
  }

  // Writes the labels of the k-th best prefix; returns its score.
  double write(std::size_t k, std::int32_t* labels) const {
    if (k >= beam_.size()) return kNever;
    Dim length = 0;
    for (const Prefix* p = beam_[k]; p->parent != nullptr; p = p->parent) ++length;
    for (const Prefix* p = beam_[k]; p->parent != nullptr; p = p->parent)
      labels[--length] = p->label;
    return beam_[k]->score();
  }

 private:
  void touch(Prefix& p) {
    if (p.is_candidate) return;
    p.is_candidate = true;
    candidates_.push_back(&p);
  }
  // Frees a prefix that left the beam, unless longer ones hang on it: the tree stays as small as
  // the beam, whatever the number of classes.
  static void forget(Prefix& p) {
    if (p.parent != nullptr && p.longer.empty()) p.parent->longer.erase(p.label);
  }
  Prefix& extend(Prefix& p, std::int32_t label) {
    std::unique_ptr<Prefix>& slot = p.longer[label];
    if (slot == nullptr) {
      slot = std::make_unique<Prefix>();
      slot->parent = &p;
      slot->label = label;
    }
    touch(*slot);
    return *slot;
  }

  Dim classes_;
  std::size_t width_;
  std::int32_t blank_;
  Prefix root_;
  std::vector<Prefix*> beam_, candidates_;
};

std::vector<Spec> infer_beam(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "log_probabilities");
  require_rank(a[0], 3, "log_probabilities");
  if (a[1].dtype != DType::i32) type_error("lengths must be int32");
  require_rank(a[1], 1, "lengths");
  const Dim paths = attr_int(a.attrs, "top_paths"), width = attr_int(a.attrs, "beam_width");
  if (paths < 1 || width < paths) throw Error("needs 1 <= top_paths <= beam_width");
  const Dim blank = attr_int(a.attrs, "blank"), classes = a[0].shape[2];
  if (blank < 0 || (classes != kUnknown && blank >= classes))
    throw Error("blank is no class, got " + std::to_string(blank));
  const Dim batch = a[0].shape[0];
  return {{DType::i32, {paths, batch, a[0].shape[1]}}, {a[0].dtype, {batch, paths}}};
}

Bound bind_beam(const BindArgs& a) {
  const Shape& s = a.in[0].shape;
  const Dim batch = s[0], steps = s[1], classes = s[2];
  const Dim paths = attr_int(a.attrs, "top_paths"), width = attr_int(a.attrs, "beam_width");
  const auto blank = static_cast<std::int32_t>(attr_int(a.attrs, "blank"));
  const double flops = 100.0 * static_cast<double>(steps * classes) * static_cast<double>(width);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              parallel_for(batch, 1, [&](Dim begin, Dim end) {
                for (Dim i = begin; i < end; ++i) {
                  BeamSearch search(classes, width, blank);
                  const Dim length = std::clamp<Dim>(r.in<std::int32_t>(1)[i], 0, steps);
                  for (Dim t = 0; t < length; ++t)
                    search.step(r.in<T>(0) + (i * steps + t) * classes);
                  for (Dim k = 0; k < paths; ++k) {
                    std::int32_t* labels = r.out<std::int32_t>(0) + (k * batch + i) * steps;
                    std::fill_n(labels, steps, -1);
                    const double score = search.write(static_cast<std::size_t>(k), labels);
                    if (r.out<T>(1) != nullptr) r.out<T>(1)[i * paths + k] = static_cast<T>(score);
                  }
                }
              });
            },
            0, flops * static_cast<double>(batch)};
  });
}

const Register ops{{.name = "ctc_beam_search", .infer = infer_beam, .bind = bind_beam}};

}  // namespace
}  // namespace lamina
