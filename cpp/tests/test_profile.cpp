// Recordings of programs: what is counted, and that the results stay the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "lamina/epoch.h"
#include "lamina/plan.h"
#include "lamina/profile.h"
#include "lamina/python_call.h"

namespace lamina {
namespace {

constexpr Dim kRows = 256, kIn = 96, kOut = 64;

Tensor filled(Shape shape, unsigned seed) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  for (std::size_t i = 0; i < t.size(); ++i) {
    seed = seed * 1664525U + 1013904223U;
    t.data<float>()[i] = static_cast<float>(seed >> 8) / 8388608.0F - 1.0F;
  }
  return t;
}

// A linear layer under "net/first" with a relu, its mean as the loss, and a step down.
struct Line {
  VariablePtr w = std::make_shared<Variable>("w", filled({kIn, kOut}, 1));
  std::shared_ptr<Program> program;

  explicit Line(ProgramOptions options = {}) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, {kRows, kIn}});
    const ValueId weights = b.variable(w);
    b.set_origin("net/first");
    const ValueId y = b.emit("relu", {b.emit("dense", {x, weights})});
    b.set_origin("(loss)");
    const ValueId loss = b.emit("mean", {b.emit("square", {y})});
    const ValueId wrt[] = {weights};
    const ValueId gradient = gradients(g, loss, wrt)[0];
    g.seam = g.nodes.size();
    b.set_origin("(optimizer)");
    b.assign(weights, b.sub(weights, b.scale(gradient, 0.1)));
    b.output(loss);
    program = Program::make(std::move(g), options);
  }
  void run(const Tensor& x, int times) {
    for (int i = 0; i < times; ++i) program->run({{x}});
  }
};

TEST(Profile, StepsKnowPhaseLayerAndWork) {
  const Line line({.fuse = false});
  double forward = 0, backward = 0;
  bool updates = false;
  for (const StepInfo& step : line.program->steps()) {
    ASSERT_EQ(step.members.size(), 1U);
    EXPECT_EQ(step.members[0].op, step.op);
    if (step.op == "dense") {
      EXPECT_EQ(step.phase, StepInfo::Phase::forward);
      EXPECT_EQ(step.origin, "net/first");
      EXPECT_EQ(step.bytes_read, std::size_t{4 * (kRows * kIn + kIn * kOut)});
      EXPECT_EQ(step.bytes_written, std::size_t{4 * kRows * kOut});
      forward += step.flops;
    }
    if (step.op == "matmul") {
      EXPECT_EQ(step.phase, StepInfo::Phase::backward);
      EXPECT_EQ(step.origin, "net/first") << "a gradient belongs to the layer it goes through";
      backward += step.flops;
    }
    if (step.phase == StepInfo::Phase::update) {
      EXPECT_EQ(step.origin, "(optimizer)");
      updates = true;
    }
  }
  EXPECT_EQ(forward, 2.0 * kRows * kIn * kOut);
  EXPECT_EQ(backward, forward) << "no gradient of the input is asked for";
  EXPECT_TRUE(updates);
}

TEST(Profile, FusedStepsNameTheirParts) {
  const Line line;
  std::vector<std::string> names;
  for (const StepInfo& step : line.program->steps())
    for (const StepInfo::Member& member : step.members) names.push_back(member.op);
  EXPECT_EQ(std::count(names.begin(), names.end(), "dense+relu"), 1);
}

TEST(Profile, CountsEveryRunAndKeepsTheLast) {
  Line line;
  const Tensor x = filled({kRows, kIn}, 2);
  const std::shared_ptr<Recording> recording = line.program->record(3);
  line.run(x, 5);
  line.program->stop_recording();
  line.run(x, 2);
  const std::size_t steps = line.program->step_count();
  const std::vector<StepTotals> totals = recording->totals();
  ASSERT_EQ(totals.size(), steps + 2);
  for (std::size_t i = 0; i < steps; ++i) {
    EXPECT_EQ(totals[i].count, 5) << i;
    EXPECT_GE(totals[i].total, 5 * totals[i].least);
    EXPECT_GE(totals[i].least, 0);
  }
  EXPECT_EQ(totals[recording->assign_step()].count, 5);
  EXPECT_EQ(totals[recording->gather_step()].count, 0) << "only epochs gather";
  const auto runs = recording->runs();
  ASSERT_EQ(runs.size(), 3U);
  Nanoseconds before = 0;
  for (const std::vector<StepSlice>& run : runs)
    for (const StepSlice& slice : run) {
      EXPECT_LE(slice.begin, slice.end);
      if (slice.thread != 0) continue;
      EXPECT_GE(slice.begin, before) << "steps and runs follow one another";
      EXPECT_LE(slice.team, slice.end - slice.begin);
      before = slice.end;
    }
}

TEST(Profile, EpochsCountTheGatheringToo) {
  Line line;
  const Tensor x = filled({2 * kRows, kIn}, 3);
  const std::shared_ptr<Recording> recording = line.program->record(8);
  const Column columns[] = {{x.raw()}};
  EpochOptions options;
  options.rows = 2 * kRows;
  options.batch = kRows;
  run_epoch(line.program, nullptr, columns, options);
  EXPECT_EQ(recording->totals()[recording->gather_step()].count, 2);
  const std::vector<std::vector<StepSlice>> runs = recording->runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].front().step, recording->gather_step());
}

TEST(Profile, ChangesNoResult) {
  Line plain, watched;
  const Tensor x = filled({kRows, kIn}, 4);
  const std::shared_ptr<Recording> recording = watched.program->record(1);
  plain.run(x, 4);
  watched.run(x, 4);
  EXPECT_EQ(recording->totals()[0].count, 4);
  EXPECT_EQ(std::memcmp(plain.w->value().raw(), watched.w->value().raw(), plain.w->value().bytes()),
            0);
}

TEST(Profile, OneOfSeveralRunsAtOnceIsWatched) {
  Line line;
  const Tensor x = filled({kRows, kIn}, 5);
  const std::shared_ptr<Recording> recording = line.program->record(64);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { line.run(x, 20); });
  for (std::thread& thread : threads) thread.join();
  const std::vector<StepTotals> totals = recording->totals();
  EXPECT_GE(totals[0].count, 1);
  EXPECT_LE(totals[0].count, 80);
  for (std::size_t i = 0; i < line.program->step_count(); ++i)
    EXPECT_EQ(totals[i].count, totals[0].count);
}

TEST(Profile, AFailedRunIsForgotten) {
  Graph g;
  Builder b(g);
  const ValueId table = b.input({DType::f32, {4, 2}}), ids = b.input({DType::i32, {3}});
  b.output(b.emit("embedding", {table, ids}));
  const std::shared_ptr<Program> program = Program::make(std::move(g));
  const std::shared_ptr<Recording> recording = program->record(4);
  Tensor bad(Spec{DType::i32, {3}});
  std::fill_n(bad.data<std::int32_t>(), 3, 9);
  EXPECT_THROW(program->run({{filled({4, 2}, 6), bad}}), Error);
  Tensor good(Spec{DType::i32, {3}});
  std::fill_n(good.data<std::int32_t>(), 3, 1);
  program->run({{filled({4, 2}, 6), good}});
  EXPECT_EQ(recording->totals()[0].count, 1);
  EXPECT_EQ(recording->runs().size(), 1U);
}

TEST(Profile, AStepThatThrowsEndsTheRunOnly) {
  set_python_caller([](std::int64_t id, std::span<const Spec>, void* const*, const Spec&, void*) {
    throw Error("function " + std::to_string(id) + " failed");
  });
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {4}});
  b.output(
      b.emit("py_call", {b.emit("exp", {x})},
             {{"id", std::int64_t{7}}, {"shape", Shape{4}}, {"dtype", std::string("float32")}}));
  const std::shared_ptr<Program> program = Program::make(std::move(g));
  std::shared_ptr<Recording> recording = program->record(4);
  EXPECT_THROW(program->run({{filled({4}, 6)}}), Error);
  set_python_caller(nullptr);
  EXPECT_EQ(recording->totals()[0].count, 0);
  EXPECT_TRUE(recording->claim()) << "the plan has let go of it";
  program->stop_recording();
  recording.reset();
  Line line;  // nobody watches this thread's parallel loops any more
  line.run(filled({kRows, kIn}, 7), 2);
}

TEST(Profile, AGatherReadsWhatItTakes) {
  Graph g;
  Builder b(g);
  const ValueId table = b.input({DType::f32, {1000, 8}}), ids = b.input({DType::i32, {3}});
  b.output(b.emit("embedding", {table, ids}));
  const std::vector<StepInfo> steps = Program::make(std::move(g))->steps();
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps[0].bytes_read, 3U * (8 * 4 + 4));
  EXPECT_EQ(steps[0].bytes_written, 3U * 8 * 4);
}

TEST(Profile, LimitsArePositiveAndTheTeamIsNoWorse) {
  const MachineLimits limits = measure_limits();
  EXPECT_GE(limits.threads, 1);
  EXPECT_GT(limits.gflops_thread, 0);
  EXPECT_GE(limits.gflops_team, limits.gflops_thread);
  ASSERT_GT(limits.copies.size(), 4U);
  for (std::size_t i = 0; i < limits.copies.size(); ++i) {
    EXPECT_GT(limits.copies[i].gbytes_thread, 0);
    EXPECT_GE(limits.copies[i].gbytes_team, limits.copies[i].gbytes_thread);
    if (i == 0) continue;
    EXPECT_EQ(limits.copies[i].bytes, 2 * limits.copies[i - 1].bytes);
  }
}

}  // namespace
}  // namespace lamina
