// Whole epochs in C++: shuffle order in, batches gathered, steps run, hooks called when asked for.
#pragma once

#include <cstdint>
#include <functional>

#include "lamina/plan.h"

namespace lamina {

// Rows of one graph input, gathered by index; the row size follows from the program's input spec.
struct Column {
  const void* rows = nullptr;
};

struct EpochOptions {
  std::int64_t rows = 0;  // samples in the columns
  std::int64_t batch = 32;
  const std::int64_t* order = nullptr;  // permutation of the rows; null: in order
  std::int64_t first_batch = 0;         // where to begin, and
  std::int64_t last_batch = -1;         // where to stop (exclusive); -1: the end
  // Called after a batch with its number; false stops. Called after every batch when
  // hook_every_batch, else when interval_ms have passed since the last call.
  std::function<bool(std::int64_t batch)> after_batch;
  std::function<bool(std::int64_t batch)> before_batch;  // only with hook_every_batch
  bool hook_every_batch = false;
  double interval_ms = 50;
  // Output 0 is the loss when watch_loss; the first value that is not finite calls this at the
  // seam, before the weights change, with the batch and pointers to the step's inputs.
  bool watch_loss = false;
  std::function<void(std::int64_t batch, std::span<const void* const> inputs)> on_nonfinite;
  // predict: where the rows of each output go (null: not wanted); batch-major outputs only.
  std::vector<void*> sinks;
};

struct EpochResult {
  std::int64_t batches = 0;  // run in this call
  bool stopped = false;      // by a hook
};

// `main` is planned for `batch` rows, `tail` for the rest of the last batch (may be null if none).
// Throws Error naming the batch when the data holds an index out of range; that batch's update is
// not applied.
LAMINA_API EpochResult run_epoch(const std::shared_ptr<Program>& main,
                                 const std::shared_ptr<Program>& tail,
                                 std::span<const Column> columns, const EpochOptions& options);

// A permutation of [0, rows): counter-based, so it depends on (seed, epoch) only.
LAMINA_API void shuffled_order(std::int64_t rows, std::uint64_t seed, std::uint64_t epoch,
                               std::int64_t* order);

}  // namespace lamina
