#include "lamina/epoch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>

#include "base/denormals.h"
#include "base/parallel.h"
#include "base/shared_lines.h"
#include "exec/program.h"
#include "kernels/narrow.h"
#include "kernels/prefetch.h"
#include "kernels/stream.h"
#include "lamina/profile.h"

namespace lamina {
namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Says when `interval_ms` have passed, reading the clock seldom when batches are short.
class Ticker {
 public:
  explicit Ticker(double interval_ms)
      : interval_(interval_ms), last_tick_(now_ms()), last_look_(last_tick_) {}
  bool tick() {
    if (++skipped_ < stride_) return false;
    skipped_ = 0;
    const double now = now_ms();
    const double elapsed = now - last_look_;
    last_look_ = now;
    if (elapsed < 0.5 && stride_ < 4096) stride_ *= 2;
    if (elapsed > 4 && stride_ > 1) stride_ /= 2;
    if (now - last_tick_ < interval_) return false;
    last_tick_ = now;
    return true;
  }

 private:
  double interval_, last_tick_, last_look_;
  int stride_ = 1, skipped_ = 0;
};

class EpochRunner {
 public:
  EpochRunner(const std::shared_ptr<Program>& main, const std::shared_ptr<Program>& tail,
              std::span<const Column> columns, const EpochOptions& options)
      : options_(options),
        columns_(columns),
        main_(main),
        main_program_(*main),
        borrows_(main->impl().options.borrow) {
    if (tail != nullptr) {
      tail_.emplace(tail);
      tail_program_ = tail.get();
    }
    const Graph& graph = main->graph();
    watches_ = options.watch_loss && !graph.outputs.empty() &&
               is_floating(graph.values[graph.outputs[0]].spec.dtype);
    if (options.batch < 1 || options.rows < 0 || options.first_batch < 0)
      throw Error("run_epoch: batch must be positive, rows and first_batch not negative");
    if (options.rows % options.batch != 0 && tail == nullptr)
      throw Error("run_epoch: the last batch is shorter and has no program");
    if (options.sinks.size() > graph.outputs.size())
      throw Error("run_epoch: more sinks than outputs");
    if (columns.size() != graph.inputs.size())
      throw Error("the program takes " + std::to_string(graph.inputs.size()) + " columns, got " +
                  std::to_string(columns.size()));
    if (borrows_ && options.order != nullptr)
      throw Error("run_epoch: a program that borrows its inputs takes rows in order only");
    for (const ValueId id : graph.inputs)
      row_bytes_.push_back(byte_size(graph.values[id].spec) /
                           static_cast<std::size_t>(options.batch));
    batch_row_bytes_ = std::accumulate(row_bytes_.begin(), row_bytes_.end(), std::size_t{0});
    for (const ValueId id : graph.outputs)
      out_row_bytes_.push_back(byte_size(graph.values[id].spec) /
                               static_cast<std::size_t>(options.batch));
    const std::int64_t batches = (options.rows + options.batch - 1) / options.batch;
    end_ = options.last_batch < 0 ? batches : std::min(options.last_batch, batches);
    apart_ = are_independent();
  }

  // A team pays for this epoch.
  bool wants_team() const {
    if (main_program_.impl().wants_team) return true;
    if (tail_program_ != nullptr && tail_program_->impl().wants_team) return true;
    return apart_ &&
           static_cast<double>(end_ - options_.first_batch) * step_flops() > 4 * kMinParallelWork;
  }

  EpochResult run() {
    const FlushDenormals flush;
    return apart_ ? run_apart() : run_in_turn();
  }

 private:
  EpochResult run_in_turn() {
    const Program::Lease plan(main_);
    Ticker ticker(options_.interval_ms);
    EpochResult result;
    for (std::int64_t b = options_.first_batch; b < end_; ++b) {
      if (options_.hook_every_batch && options_.before_batch && !options_.before_batch(b)) {
        result.stopped = true;
        break;
      }
      step(b, is_whole(b) ? *plan : **tail_);
      ++result.batches;
      const bool call = options_.after_batch && (options_.hook_every_batch || ticker.tick());
      if (call && !options_.after_batch(b)) {
        result.stopped = true;
        break;
      }
    }
    return result;
  }

  // Batches that change no state run side by side, each on one thread from end to end: within a
  // batch nobody waits for anybody, and its values stay in one core's cache. Hooks are called
  // between spans of batches.
  EpochResult run_apart() {
    EpochResult result;
    std::int64_t span = 2 * team_size();
    for (std::int64_t b = options_.first_batch; b < end_;) {
      const std::int64_t count = std::min(span, end_ - b);
      const double start = now_ms();
      run_span(b, count);
      const double elapsed = now_ms() - start;
      if (elapsed < options_.interval_ms / 4) span *= 2;
      if (elapsed > options_.interval_ms && span > 2 * team_size()) span /= 2;
      result.batches += count;
      b += count;
      if (options_.after_batch && !options_.after_batch(b - 1)) {
        result.stopped = true;
        break;
      }
    }
    return result;
  }

  void run_span(std::int64_t first, std::int64_t count) {
    const std::int64_t chunks = std::min<std::int64_t>(count, 64);
    std::mutex mutex;
    std::exception_ptr error;
    std::int64_t failed = end_;  // the first batch that threw
    parallel_chunks(chunks, [&](std::int64_t chunk) {
      const std::int64_t end = first + (chunk + 1) * count / chunks;
      std::int64_t b = first + chunk * count / chunks;
      try {
        const Program::Lease plan(main_);
        for (; b < end && is_whole(b); ++b) step(b, *plan);
        if (b < end) step(b, **tail_);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (b < failed) {
          failed = b;
          error = std::current_exception();
        }
      }
    });
    if (error != nullptr) std::rethrow_exception(error);
  }

  // May batches run side by side? Each running one has an arena of its own; a recording sees one.
  bool are_independent() const {
    constexpr std::size_t kMostArenaBytes = 256 << 20;
    if (options_.hook_every_batch || watches_ || end_ - options_.first_batch < 2) return false;
    if (main_program_.is_recording()) return false;
    const auto threads = static_cast<std::size_t>(team_size());
    if (threads < 2 || main_program_.arena_bytes() > kMostArenaBytes / threads) return false;
    // The last of few batches leave threads without one: then better all threads on each of them.
    const auto rows_of = [&](std::int64_t b) {
      return std::min(b * options_.batch, options_.rows);
    };
    const double rows = static_cast<double>(rows_of(end_) - rows_of(options_.first_batch));
    const std::int64_t batches = end_ - options_.first_batch;
    const std::int64_t turns = (batches + team_size() - 1) / team_size();
    const double busiest = static_cast<double>(turns * options_.batch);
    if (main_program_.impl().wants_team && busiest * team_size() > 1.15 * rows) return false;
    return is_pure(main_program_) && (tail_program_ == nullptr || is_pure(*tail_program_));
  }
  static bool is_pure(const Program& program) {
    const Graph& graph = program.graph();
    return graph.assigns.empty() &&
           std::none_of(graph.nodes.begin(), graph.nodes.end(),
                        [](const Node& node) { return node.op->has(kCallsPython); });
  }

  double step_flops() const {
    double flops = 0;
    for (const Step& step : main_program_.impl().steps) flops += step.flops;
    return flops;
  }

  bool is_whole(std::int64_t batch) const { return (batch + 1) * options_.batch <= options_.rows; }

  void step(std::int64_t batch, Plan& plan) {
    const std::int64_t first = batch * options_.batch;
    const std::int64_t rows = std::min(options_.batch, options_.rows - first);
    const bool whole = rows == options_.batch;
    plan.rebind();  // a hook may have packed variables
    const auto read_inputs = [&] {
      if (borrows_)
        for (std::size_t c = 0; c < columns_.size(); ++c) plan.set_input(c, row(c, first));
      else
        gather(first, rows, [&](std::size_t column) { return plan.input(column); });
    };
    if (Recording* const r = plan.recording(); r != nullptr)
      r->measure(r->gather_step(), read_inputs);
    else
      read_inputs();
    plan.run_to_seam();
    if (plan.failed()) fail(plan, batch);
    if (watches_ && !reported_ && !loss_is_finite(plan, whole)) report(batch, first, rows);
    plan.finish();
    for (std::size_t k = 0; k < options_.sinks.size(); ++k)
      if (options_.sinks[k] != nullptr)
        std::memcpy(static_cast<std::byte*>(options_.sinks[k]) +
                        static_cast<std::size_t>(first) * out_row_bytes_[k],
                    plan.output(k), static_cast<std::size_t>(rows) * out_row_bytes_[k]);
  }

  const std::byte* row(std::size_t column, std::int64_t i) const {
    return static_cast<const std::byte*>(columns_[column].rows) +
           static_cast<std::size_t>(i) * row_bytes_[column];
  }

  // Copies the rows of a batch, those of column c to to(c). Like the ops that read them, each
  // thread takes the rows of its share.
  template <class To>
  void gather(std::int64_t first, std::int64_t rows, const To& to) const {
    constexpr std::int64_t kLeastBytes = 16384;  // for a chunk
    const std::int64_t bytes = rows * static_cast<std::int64_t>(batch_row_bytes_);
    const auto gather_part = [&](std::int64_t begin, std::int64_t end, bool streams) {
      for (std::size_t c = 0; c < columns_.size(); ++c)
        gather_rows(c, first, begin, end, static_cast<std::byte*>(to(c)), streams);
    };
    if (bytes < 2 * kLeastBytes) return gather_part(0, rows, false);
    const std::int64_t chunks =
        std::min({bytes / kLeastBytes, rows, std::int64_t{2} * threads_at_hand()});
    const bool streams = kCanStream && chunks > 1 && taking_lines_is_dear();
    parallel_chunks(chunks, [&](std::int64_t chunk) {
      gather_part(rows * chunk / chunks, rows * (chunk + 1) / chunks, streams);
      if (streams) finish_streams();
    });
  }

  // Rows [begin, end) of the batch that starts at `first`.
  void gather_rows(std::size_t column, std::int64_t first, std::int64_t begin, std::int64_t end,
                   std::byte* to, bool streams) const {
    const std::size_t bytes = row_bytes_[column];
    const auto copy = [streams](std::byte* out, const std::byte* from, std::size_t n) {
      if (streams)
        stream_bytes(out, from, n);
      else
        std::memcpy(out, from, n);
    };
    to += static_cast<std::size_t>(begin) * bytes;
    if (options_.order == nullptr)
      return copy(to, row(column, first + begin), static_cast<std::size_t>(end - begin) * bytes);
    // The next row lies anywhere; it is on its way while this one is copied. Behind a page the
    // processor reads ahead itself.
    const auto asked = static_cast<Dim>(std::min<std::size_t>(bytes, 4096));
    for (std::int64_t r = begin; r < end; ++r, to += bytes) {
      if (r + 1 < end) ask_for(row(column, options_.order[first + r + 1]), asked);
      copy(to, row(column, options_.order[first + r]), bytes);
    }
  }

  static bool finite(const void* value, DType dtype) {
    return std::isfinite(kernels::number_at(value, dtype));
  }

  bool loss_is_finite(const Plan& plan, bool whole) const {
    const Graph& graph = (whole ? main_program_ : *tail_program_).graph();
    return finite(plan.output(0), graph.values[graph.outputs[0]].spec.dtype);
  }

  // The plan's own input buffers may be in use for something else by now: gather once more.
  void report(std::int64_t batch, std::int64_t first, std::int64_t rows) {
    reported_ = true;
    if (!options_.on_nonfinite) return;
    std::vector<std::vector<std::byte>> copies(columns_.size());
    std::vector<const void*> pointers;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      copies[c].resize(static_cast<std::size_t>(rows) * row_bytes_[c] + 1);
      pointers.push_back(copies[c].data());
    }
    gather(first, rows, [&](std::size_t column) { return copies[column].data(); });
    options_.on_nonfinite(batch, pointers);
  }

  [[noreturn]] static void fail(Plan& plan, std::int64_t batch) {
    try {
      plan.throw_failure();
    } catch (const Error& e) {
      throw Error(std::string(e.what()) + " (batch " + std::to_string(batch) + ")");
    }
    throw Error("unreachable");
  }

  const EpochOptions& options_;
  std::span<const Column> columns_;
  std::shared_ptr<Program> main_;
  std::optional<Program::Lease> tail_;
  const Program& main_program_;
  const Program* tail_program_ = nullptr;
  std::vector<std::size_t> row_bytes_, out_row_bytes_;
  std::size_t batch_row_bytes_ = 0;  // of all columns
  std::int64_t end_ = 0;             // behind the last batch
  bool borrows_;                     // the programs read their inputs where the columns are
  bool apart_ = false;               // batches run side by side
  bool watches_ = false;             // there is a loss to look at
  bool reported_ = false;
};

// SplitMix64 of a counter: the k-th number depends on (seed, k) only.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

EpochResult run_epoch(const std::shared_ptr<Program>& main, const std::shared_ptr<Program>& tail,
                      std::span<const Column> columns, const EpochOptions& options) {
  if (options.batch < 1)
    throw Error("batch size must be at least 1, got " + std::to_string(options.batch));
  if (options.rows < 0)
    throw Error("rows must not be negative, got " + std::to_string(options.rows));
  if (options.rows % options.batch != 0 && tail == nullptr &&
      (options.last_batch < 0 || options.last_batch > options.rows / options.batch))
    throw Error("the last batch is smaller and needs a program of its own");
  EpochRunner runner(main, tail, columns, options);
  EpochResult result;
  const auto body = [&](std::int64_t) { result = runner.run(); };
  if (runner.wants_team())
    with_team(body);
  else
    body(0);
  return result;
}

void shuffled_order(std::int64_t rows, std::uint64_t seed, std::uint64_t epoch,
                    std::int64_t* order) {
  std::iota(order, order + rows, std::int64_t{0});
  const std::uint64_t stream = mix(seed ^ mix(epoch));
  for (std::int64_t i = rows - 1; i > 0; --i) {
    const std::uint64_t random = mix(stream + static_cast<std::uint64_t>(i)) >> 32;
    const auto j = static_cast<std::int64_t>((random * static_cast<std::uint64_t>(i + 1)) >> 32);
    std::swap(order[i], order[j]);
  }
}

}  // namespace lamina
