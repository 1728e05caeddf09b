// Running a program: pointers and a loop. No strings, maps, locks, allocation or exceptions here.
#include <cstring>
#include <optional>

#include "base/denormals.h"
#include "base/moves.h"
#include "base/pace.h"
#include "base/parallel.h"
#include "exec/program.h"
#include "lamina/profile.h"

namespace lamina {

struct Plan::Impl {
  explicit Impl(const Program::Impl& program) : program(program) {
    arena = Tensor(Spec{DType::u8, {static_cast<Dim>(program.layout.arena_bytes)}});
    const std::unique_lock<std::mutex> lock = hold_places();
    bound_at = moves();
    bind();
  }

  // A plan counts its changes itself.
  static void* memory_of(const Variable& variable) {
    return const_cast<void*>(variable.value().raw());
  }

  void* address(ValueId id) const { return at(program.layout.places[id]); }

  void* at(const Place& place) const {
    const Root& root = program.layout.roots[place.root];
    const Value* owner = root.value == kNoValue ? nullptr : &program.graph.values[root.value];
    if (place.in_variable != kNoValue)
      return static_cast<std::byte*>(memory_of(*program.graph.values[place.in_variable].variable)) +
             place.offset;
    if (root.kind == Root::Kind::borrowed) return nullptr;  // set_input fills it in
    if (root.kind == Root::Kind::constant)
      return static_cast<std::byte*>(const_cast<void*>(owner->constant.raw())) + place.offset;
    return static_cast<std::byte*>(const_cast<void*>(arena.raw())) + root.offset + place.offset;
  }

  // The place of a pointer to a borrowed input, and how far into the input it points.
  struct Borrowed {
    ValueId input;
    const void** pointer;
    std::size_t offset;
  };
  void note_borrowed(ValueId id, const void** pointer) {
    const Place& place = program.layout.places[id];
    const Root& root = program.layout.roots[place.root];
    if (root.kind == Root::Kind::borrowed) borrowed.push_back({root.value, pointer, place.offset});
  }

  void bind() {
    steady_at = kNever;
    pointers.clear();
    runs.clear();
    borrowed.clear();
    std::size_t count = 0;
    for (const Step& step : program.steps) count += step.in.size() + step.out.size();
    pointers.reserve(count);  // Run keeps addresses into it
    for (const Step& step : program.steps) {
      void** ins = pointers.data() + pointers.size();
      for (const ValueId id : step.in) {
        pointers.push_back(address(id));
        note_borrowed(id, const_cast<const void**>(&pointers.back()));
      }
      void** outs = pointers.data() + pointers.size();
      for (const ValueId id : step.out) pointers.push_back(id == kNoValue ? nullptr : address(id));
      auto* scratch = step.scratch == ~0U ? nullptr : static_cast<std::byte*>(at({step.scratch}));
      runs.push_back({ins, outs, scratch, &failure});
    }
    saves.clear();
    copies.clear();
    std::map<ValueId, void*> saved;
    for (const auto& [id, root] : program.layout.saved) {
      saves.push_back({at({root}), address(id), byte_size(program.graph.values[id].spec)});
      saved[id] = saves.back().to;
    }
    for (std::size_t i = 0; i < saves.size(); ++i)
      note_borrowed(program.layout.saved[i].first, &saves[i].from);
    const auto final_address = [&](ValueId id) {
      return saved.count(id) != 0 ? saved[id] : address(id);
    };
    for (const Assign& a : program.layout.copies)
      copies.push_back({address(a.variable), final_address(a.value),
                        byte_size(program.graph.values[a.value].spec)});
    inputs.clear();
    outputs.clear();
    for (const ValueId id : program.graph.inputs) inputs.push_back(address(id));
    for (const ValueId id : program.graph.outputs) outputs.push_back(final_address(id));
    bound_to.clear();
    for (const Value& value : program.graph.values)
      if (value.kind == Value::Kind::variable)
        bound_to.emplace_back(value.variable.get(), memory_of(*value.variable));
  }

  bool moved() const {
    for (const auto& [variable, address] : bound_to)
      if (memory_of(*variable) != address) return true;
    return false;
  }

  void rebind() {
    if (!stay) stay.emplace();
    if (moves() == bound_at) return;
    const std::unique_lock<std::mutex> lock = hold_places();
    if (moved()) bind();
    bound_at = moves();
  }

  void run(std::size_t begin, std::size_t end, bool skips_steady) const {
    for (std::size_t i = begin; i < end; ++i) {
      const Step& step = program.steps[i];
      if (skips_steady && step.is_steady) continue;
      if (recording != nullptr)
        recording->measure(i, [&] { step.run(runs[i]); });
      else
        step.run(runs[i]);
    }
  }

  // Up to the seam. Results of steady steps serve as long as nobody changes a variable; of those
  // this program assigns itself none was read for them.
  void run_to_seam() {
    const std::uint64_t version = program.has_steady ? state_version() : kNever;
    const bool fresh = program.has_steady && version == steady_at;
    if (!fresh) steady_at = kNever;
    run(0, program.seam_step, fresh);
    if (failure.what.load(std::memory_order_relaxed) == nullptr) steady_at = version;
  }

  // Around a run, for the pace. A run that fails leaves the turn open; the next one starts anew.
  // One that has a single thread, beside runs of other plans, says nothing about numbers of
  // threads.
  void begin_turn() {
    all_threads = program.wants_team ? threads_at_hand() : 1;
    if (all_threads == 1) return;
    if (pace.is_timed()) {
      use_threads(pace.threads(all_threads));
      turn_start = clock_ns();
    } else {
      waits_before = long_waits();
    }
  }
  void end_turn() {
    if (all_threads == 1) return;
    if (pace.is_timed()) {
      use_threads(all_threads);
      const std::int64_t now = clock_ns();
      pace.took(now - turn_start, now);
    } else if (long_waits() != waits_before) {
      pace.waited_long(all_threads, clock_ns());
    }
  }

  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
  };
  // Counts this run's changes of variables when it goes.
  class Change {
   public:
    explicit Change(Impl& plan) : plan_(plan) {}
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    ~Change() {
      if (plan_.program.graph.assigns.empty()) return;
      const std::uint64_t version = note_state_change();
      if (version == plan_.steady_at + 1) plan_.steady_at = version;  // nobody else's came between
    }

   private:
    Impl& plan_;
  };

  void assign() const {
    for (const Copy& c : saves) std::memcpy(c.to, c.from, c.bytes);
    for (const Copy& c : copies) std::memmove(c.to, c.from, c.bytes);
  }

  const Program::Impl& program;
  Recording* recording = nullptr;
  Pace pace;
  int all_threads = 1;
  std::int64_t turn_start = 0;
  std::uint32_t waits_before = 0;
  Tensor arena;
  Failure failure;
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::uint64_t steady_at = kNever;  // state_version() that the results of steady steps are of
  std::vector<void*> pointers;
  std::vector<Run> runs;
  std::vector<Copy> saves, copies;
  std::vector<Borrowed> borrowed;
  std::vector<void*> inputs;
  std::vector<const void*> outputs;
  std::vector<std::pair<const Variable*, const void*>> bound_to;
  std::uint64_t bound_at = 0;  // moves() then
  std::optional<Stay> stay;    // from the first rebind() to release()
};

Plan::Plan(const Program& program) : impl_(std::make_unique<Impl>(program.impl())) {}
Plan::~Plan() = default;

void Plan::rebind() { impl_->rebind(); }
void Plan::release() { impl_->stay.reset(); }

void* Plan::input(std::size_t i) const { return impl_->inputs[i]; }
const void* Plan::output(std::size_t i) const { return impl_->outputs[i]; }
void Plan::set_input(std::size_t i, const void* data) {
  const ValueId id = impl_->program.graph.inputs[i];
  for (const Impl::Borrowed& b : impl_->borrowed)
    if (b.input == id) *b.pointer = static_cast<const std::byte*>(data) + b.offset;
}
void Plan::run_to_seam() {
  impl_->begin_turn();
  impl_->run_to_seam();
}
bool Plan::failed() const { return impl_->failure.what.load(std::memory_order_relaxed) != nullptr; }

void Plan::throw_failure() {
  char text[256];
  const char* what = impl_->failure.what.exchange(nullptr);
  std::snprintf(text, sizeof text, what, impl_->failure.value.load());
  throw Error(text);
}

void Plan::hand_failure(Failure& to) {
  if (const char* what = impl_->failure.what.exchange(nullptr))
    to.note(what, impl_->failure.value.load());
}

void Plan::finish() {
  const Impl::Change change(*impl_);
  impl_->run(impl_->program.seam_step, impl_->program.steps.size(), false);
  if (Recording* const r = impl_->recording; r != nullptr) {
    r->measure(r->assign_step(), [&] { impl_->assign(); });
    r->finish_run();
  } else {
    impl_->assign();
  }
  impl_->end_turn();
}

void Plan::set_recording(Recording* recording) { impl_->recording = recording; }
Recording* Plan::recording() const { return impl_->recording; }

void Program::run_into(std::span<const void* const> inputs, std::span<void* const> outputs) {
  const Lease plan(shared_from_this());
  const FlushDenormals flush;
  const Graph& g = impl_->graph;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (impl_->options.borrow)
      plan->set_input(i, inputs[i]);
    else
      std::memcpy(plan->input(i), inputs[i], byte_size(g.values[g.inputs[i]].spec));
  const auto run = [&](std::int64_t) {
    plan->run();
    if (plan->failed()) plan->throw_failure();  // found after the seam
  };
  if (impl_->wants_team)
    with_team(run);
  else
    run(0);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    std::memcpy(outputs[i], plan->output(i), byte_size(g.values[g.outputs[i]].spec));
}

}  // namespace lamina
