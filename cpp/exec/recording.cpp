// Times of a plan's steps, and of the threads that took part in them.
#include <algorithm>
#include <array>

#include "base/parallel.h"
#include "exec/program.h"
#include "lamina/profile.h"

namespace lamina {

// What the threads did in the step that is measured now. A helper writes its own lane before its
// chunk counts as done, so the caller may read all lanes once the step is over.
class Recording::Watch final : public ChunkWatch {
 public:
  void ran_chunk(int thread, Nanoseconds begin, Nanoseconds end) override {
    if (thread >= static_cast<int>(lanes_.size())) return;
    Lane& lane = lanes_[static_cast<std::size_t>(thread)];
    if (lane.chunks == 0) lane.begin = begin;
    lane.end = end;
    lane.chunks += std::max<Nanoseconds>(end - begin, 1);
  }

  void ran_job(Nanoseconds begin, Nanoseconds end) override { team_ += end - begin; }

  // Adds the slices of the step that took [begin, end], and clears the lanes for the next.
  void collect(std::uint32_t step, Nanoseconds begin, Nanoseconds end,
               std::vector<StepSlice>& slices) {
    slices.push_back({step, 0, begin, end, team_, lanes_[0].chunks});
    lanes_[0].chunks = 0;
    if (team_ == 0) return;
    team_ = 0;
    for (std::uint32_t t = 1; t < lanes_.size(); ++t) {
      Lane& lane = lanes_[t];
      if (lane.chunks == 0) continue;
      slices.push_back({step, t, lane.begin, lane.end, 0, lane.chunks});
      lane.chunks = 0;
    }
  }

 private:
  struct alignas(64) Lane {
    Nanoseconds begin = 0, end = 0, chunks = 0;
  };
  std::array<Lane, 256> lanes_;
  Nanoseconds team_ = 0;
};

Recording::Recording(std::size_t steps, std::size_t kept_runs)
    : steps_(steps), kept_(kept_runs), watch_(std::make_unique<Watch>()), totals_(steps + 2) {}

Recording::~Recording() = default;

void Recording::begin() {
  watch_chunks(watch_.get());
  started_ = clock_ns();
}

void Recording::end(std::size_t step) {
  const Nanoseconds now = clock_ns();
  watch_chunks(nullptr);
  watch_->collect(static_cast<std::uint32_t>(step), started_, now, current_);
}

void Recording::cancel() {
  watch_chunks(nullptr);
  watch_->collect(0, 0, 0, current_);  // clears the lanes; the run is forgotten on release
}

void Recording::finish_run() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const StepSlice& slice : current_) {
    if (slice.thread != 0) continue;
    StepTotals& t = totals_[slice.step];
    const Nanoseconds took = slice.end - slice.begin;
    t.least = t.count == 0 ? took : std::min(t.least, took);
    t.total += took;
    ++t.count;
  }
  if (runs_.size() < kept_) {
    runs_.push_back(current_);
  } else if (kept_ > 0) {
    runs_[next_] = current_;
    next_ = (next_ + 1) % kept_;
  }
  current_.clear();
}

void Recording::release() {
  current_.clear();
  claimed_.store(false);
}

std::vector<StepTotals> Recording::totals() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return totals_;
}

std::vector<std::vector<StepSlice>> Recording::runs() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::vector<StepSlice>> runs(runs_.begin() + static_cast<std::ptrdiff_t>(next_),
                                           runs_.end());
  runs.insert(runs.end(), runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(next_));
  return runs;
}

std::shared_ptr<Recording> Program::record(std::size_t kept_runs) {
  const std::lock_guard<std::mutex> lock(pool_mutex_);
  recording_ = std::make_shared<Recording>(impl_->steps.size(), kept_runs);
  return recording_;
}

void Program::stop_recording() {
  const std::lock_guard<std::mutex> lock(pool_mutex_);
  recording_ = nullptr;
}

bool Program::is_recording() const {
  const std::lock_guard<std::mutex> lock(pool_mutex_);
  return recording_ != nullptr;
}

namespace {

StepInfo::Phase phase_of(const Graph& graph, std::size_t node) {
  if (graph.seam != Graph::kNoSeam && node >= graph.seam) return StepInfo::Phase::update;
  return graph.nodes[node].backward ? StepInfo::Phase::backward : StepInfo::Phase::forward;
}

std::string label_of(const Node& node) {
  std::string label(node.op->name);
  const auto it = node.attrs.find("activation");
  const auto* activation = it == node.attrs.end() ? nullptr : std::get_if<std::string>(&it->second);
  // Of recurrent layers the activation is a part anyway.
  const bool recurrent = node.attrs.count("recurrent_activation") != 0;
  if (!recurrent && activation != nullptr && *activation != "linear") label += "+" + *activation;
  return label;
}

// Whether an operand of a pack lies where the pack puts it, so that nothing moves.
bool lies_inside(const Layout& layout, const Step& step, ValueId id) {
  return layout.places[id].root == layout.places[step.out[0]].root;
}

void count_bytes(const Program::Impl& impl, const Step& step, StepInfo& info) {
  const bool packs = impl.graph.nodes[step.unit[0]].op->has(kPack);
  std::vector<ValueId> seen;
  for (const ValueId id : step.in) {
    if (std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
    seen.push_back(id);
    if (packs && lies_inside(impl.layout, step, id)) continue;
    info.bytes_read += byte_size(impl.graph.values[id].spec);
  }
  info.bytes_read = step.bytes_read.value_or(info.bytes_read);
  for (const ValueId id : step.out)
    if (id != kNoValue) info.bytes_written += byte_size(impl.graph.values[id].spec);
  if (packs) info.bytes_written = info.bytes_read;
}

}  // namespace

std::vector<StepInfo> Program::steps() const {
  const Graph& graph = impl_->graph;
  std::vector<StepInfo> infos;
  for (const Step& step : impl_->steps) {
    const Node& node = graph.nodes[step.unit[0]];
    StepInfo info{};
    info.op = node.op->name;
    info.origin = graph.origins[node.origin];
    info.flops = step.flops;
    info.phase = phase_of(graph, step.unit[0]);
    for (const ValueId id : step.in) info.in.push_back(graph.values[id].spec);
    for (const ValueId id : step.out)
      if (id != kNoValue) info.out.push_back(graph.values[id].spec);
    for (const std::size_t n : step.unit)
      info.members.push_back({label_of(graph.nodes[n]), graph.origins[graph.nodes[n].origin]});
    count_bytes(*impl_, step, info);
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace lamina
