// Program: a graph made ready to run (simplified, fused, ordered, every buffer placed). Immutable
// and shared between threads. Plan: one running copy of it: an arena and pointers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "lamina/graph.h"

namespace lamina {

struct ProgramOptions {
  bool fuse = true;     // passes that change the nodes
  bool reuse = true;    // buffers share memory when their lives do not overlap, ops write in place
  bool borrow = false;  // inputs are read where Plan::set_input says they are, never copied in
};
// The defaults, or the plain plan when the environment has LAMINA_PLAN=plain.
LAMINA_API ProgramOptions default_options();

struct StepInfo {          // for profiles, tests and printing
  std::string op, origin;  // of the first member
  std::vector<Spec> in, out;
  double flops;
  std::size_t bytes_read, bytes_written;  // at least, when everything is touched once
  enum class Phase : std::uint8_t { forward, backward, update };
  Phase phase;
  struct Member {  // the nodes that run as this step; "conv+relu" where two became one
    std::string op, origin;
  };
  std::vector<Member> members;
};

class Plan;
struct Failure;
class Recording;
class LAMINA_API Program : public std::enable_shared_from_this<Program> {
 public:
  // Throws Error when a size is unknown or the graph is not legal.
  static std::shared_ptr<Program> make(Graph graph, ProgramOptions options = default_options());
  ~Program();
  const Graph& graph() const;  // as it runs, after the passes
  std::size_t arena_bytes() const;
  std::size_t step_count() const;
  std::vector<StepInfo> steps() const;
  // (offset, bytes, first step, last step) of each arena buffer.
  struct Placement {
    std::size_t offset, bytes;
    std::int64_t first, last;
    ValueId value;
  };
  std::vector<Placement> placements() const;
  // For each graph input: the smallest exclusive bound that an op demands of it as an index, or -1.
  std::vector<Dim> input_bounds() const;

  // Runs once: copies the inputs in, runs, assigns, returns the outputs. Safe to call from several
  // threads at once (each takes a Plan of its own from a pool). Throws on a Failure, before any
  // assign.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  // The same into memory of the caller's; in and out in graph order.
  void run_into(std::span<const void* const> inputs, std::span<void* const> outputs);

  // From now on the steps of runs are timed, until stop_recording; of the last `kept_runs` runs in
  // detail. Runs under way go on unseen, and so do runs beside the first when there are several.
  std::shared_ptr<Recording> record(std::size_t kept_runs);
  void stop_recording();
  bool is_recording() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

  // A Plan on loan from the pool; goes back when the Lease dies.
  class LAMINA_API Lease {
   public:
    explicit Lease(std::shared_ptr<Program> program);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Plan* operator->() const { return plan_.get(); }
    Plan& operator*() const { return *plan_; }

   private:
    std::shared_ptr<Program> program_;
    std::unique_ptr<Plan> plan_;
    std::shared_ptr<Recording> recording_;  // claimed for the plan
  };

 private:
  Program() = default;
  std::unique_ptr<Impl> impl_;
  mutable std::mutex pool_mutex_;
  std::vector<std::unique_ptr<Plan>> pool_;
  std::shared_ptr<Recording> recording_;
};

class LAMINA_API Plan {
 public:
  explicit Plan(const Program& program);
  ~Plan();
  // Before every run while variables may move; cheap when none did. What the plan reads stays in
  // memory from the first one to release(): those who lease a plan call both.
  void rebind();
  void release();
  void* input(std::size_t i) const;                 // write a batch here before run
  void set_input(std::size_t i, const void* data);  // with ProgramOptions::borrow
  const void* output(std::size_t i) const;
  void run_to_seam();                        // forward and backward: changes no state
  bool failed() const;                       // an index out of range, found in the data
  void throw_failure();                      // throws and clears
  void hand_failure(Failure& to);            // notes a failure there, and clears
  void finish();                             // update, metrics, assigns
  void set_recording(Recording* recording);  // null: none
  Recording* recording() const;
  void run() {
    run_to_seam();
    if (failed()) throw_failure();
    finish();
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The first value that is not finite when the graph up to the seam runs on these inputs; found by
// running it plainly, node by node. Changes nothing.
struct NonFinite {
  bool found = false;
  std::string op, origin;
};
LAMINA_API NonFinite find_nonfinite(const Graph& graph, std::span<const void* const> inputs);

}  // namespace lamina
