// What branches and loops share at bind and run: a body made into a program that reads its inputs
// where they are.
#pragma once

#include <cstring>

#include "lamina/plan.h"
#include "ops/op.h"

namespace lamina {

GraphPtr attr_graph(const Attrs& attrs, std::string_view name);
// Complains unless the body takes inputs of these specs.
void check_body(const Graph& body, std::span<const Spec> in, const char* name);
std::vector<Spec> output_specs(const Graph& body);
// One spec where two may differ in what is unknown; a complaint that names `what` otherwise.
Spec merged(const Spec& a, const Spec& b, const std::string& what);

struct Body {
  std::shared_ptr<Program> program;
  double flops = 0;
  std::vector<std::size_t> output_bytes;
};
Body make_body(const Graph& graph);

// A plan of a body for the time of one run of the op.
class RunningBody {
 public:
  explicit RunningBody(const Body& body) : body_(body), plan_(body.program) {}
  void set_inputs(std::size_t first, void* const* data, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) plan_->set_input(first + i, data[i]);
  }
  void set_input(std::size_t i, const void* data) { plan_->set_input(i, data); }
  // False when an op found bad data: the loop must end.
  bool run(Failure& failure) {
    plan_->run_to_seam();
    plan_->finish();
    if (!plan_->failed()) return true;
    plan_->hand_failure(failure);
    return false;
  }
  const void* output(std::size_t i) const { return plan_->output(i); }
  void copy_output(std::size_t i, void* to) const {
    if (to != nullptr) std::memcpy(to, plan_->output(i), body_.output_bytes[i]);
  }

 private:
  const Body& body_;
  Program::Lease plan_;
};

// The state of a loop in its scratch: two buffers for each variable, read and written in turn.
class LoopState {
 public:
  explicit LoopState(std::span<const Spec> specs);
  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return sizes_.size(); }
  std::size_t size(std::size_t i) const { return sizes_[i]; }
  void* buffer(std::byte* scratch, std::size_t i, bool odd) const {
    return scratch + offsets_[i] + (odd ? bytes_ / 2 : 0);
  }

 private:
  std::vector<std::size_t> sizes_, offsets_;
  std::size_t bytes_ = 0;
};

}  // namespace lamina
