// Variables move into another buffer while programs run: what is read stays readable, and what is
// written arrives where they lie now.
#include <atomic>
#include <thread>

#include "kernel_testing.h"
#include "lamina/epoch.h"
#include "lamina/plan.h"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace lamina;

namespace {

constexpr Dim kSize = 1000;

VariablePtr ones() {
  Tensor value({DType::f32, {kSize}});
  std::fill_n(value.data<float>(), kSize, 1.0f);
  return std::make_shared<Variable>("w", std::move(value));
}

void move(const VariablePtr& variable) { pack(std::span(&variable, 1), "flat"); }

// The buffers of this size that were freed last are taken, and filled with something else.
void overwrite_freed_memory() {
  std::vector<Tensor> taken;
  for (int i = 0; i < 20; ++i) {
    taken.emplace_back(Spec{DType::f32, {kSize}});
    std::fill_n(taken.back().data<float>(), kSize, -7.0f);
  }
}

// Assigns w + x to w; its output is x + w before that.
std::shared_ptr<Program> adding(const VariablePtr& w, Dim rows) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {rows, kSize}});
  const ValueId old = b.variable(w);
  b.output(b.add(x, old));
  b.assign(old, b.add(old, b.emit("sum", {x}, {{"axes", Shape{0}}})));
  return Program::make(g);
}

TEST(Moves, AnEpochFollowsVariablesThatItsHooksMove) {
  const VariablePtr w = ones();
  constexpr Dim kRows = 7, kBatch = 2;
  const Tensor x = f32(uniform({kRows, kSize}));
  std::vector<float> sink(kRows * kSize);
  EpochOptions o;
  o.rows = kRows;
  o.batch = kBatch;
  o.sinks = {sink.data()};
  o.hook_every_batch = true;
  o.after_batch = [&](std::int64_t) {
    move(w);
    overwrite_freed_memory();
    return true;
  };
  const std::vector<Column> columns{{x.raw()}};
  run_epoch(adding(w, kBatch), adding(w, kRows % kBatch), columns, o);
  for (Dim i = 0; i < kSize; ++i) {
    float expected = 1;
    for (Dim first = 0; first < kRows; first += kBatch) {
      float sum = 0;
      for (Dim r = first; r < std::min(first + kBatch, kRows); ++r) {
        const float in = x.data<float>()[r * kSize + i];
        ASSERT_NEAR(sink[static_cast<std::size_t>(r * kSize + i)], in + expected, 1e-5);
        sum += in;
      }
      expected += sum;
    }
    ASSERT_NEAR(w->value().data<float>()[i], expected, 1e-5) << i;
  }
}

TEST(Moves, ThreadsReadWhatOthersMove) {
  const VariablePtr w = ones();
  Graph g;
  Builder b(g);
  b.output(b.emit("sum", {b.mul(b.input({DType::f32, {kSize}}), b.variable(w))}));
  const auto program = Program::make(g);
  const Tensor x = ones()->value().clone();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&] {
      while (!stop) wrong += *program->run({{x}})[0].data<float>() != kSize;
    });
  for (int i = 0; i < 3000; ++i) {
    move(w);
    overwrite_freed_memory();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

#if defined(__unix__)
TEST(Moves, AForkedChildFindsThePlacesFree) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP();  // does not follow a fork with threads
#endif
  const VariablePtr w = ones(), mine = ones();
  const auto program = adding(mine, 1);
  const Tensor x = f32(uniform({1, kSize}));
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) move(w);
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      move(mine);
      program->run({{x}});
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  other.join();
}
#endif

TEST(Moves, MemoryIsFreedWhenNobodyReadsItAnyMore) {
  const VariablePtr w = ones();
  Graph g;
  Builder b(g);
  b.output(b.variable(w));
  const auto program = Program::make(g);
  const auto is_freed_after = [](const VariablePtr& variable, const auto& done) {
    const std::weak_ptr<void> memory = std::as_const(*variable).value().owner();
    move(variable);
    done();
    return memory.expired();
  };
  EXPECT_TRUE(is_freed_after(w, [] {}));
  program->run({});  // its plan waits in the pool for the next run, and keeps nothing
  EXPECT_TRUE(is_freed_after(w, [] {}));
  auto lease = std::make_unique<Program::Lease>(program);
  EXPECT_FALSE(is_freed_after(w, [] {}));
  EXPECT_TRUE(is_freed_after(w, [&] { lease.reset(); }));
}

}  // namespace
