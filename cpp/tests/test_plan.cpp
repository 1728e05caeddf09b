// Programs and plans: placement, in-place updates, failures, allocation, threads.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "lamina/epoch.h"
#include "lamina/plan.h"
#include "lamina/runtime.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

// Every allocation of the process passes here, the engine's too. Never inlined: gcc would see a
// free() of what the other one made and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t align) {
  ++allocations;
  const auto a = static_cast<std::size_t>(align);
  if (void* p = std::aligned_alloc(a, (bytes + a - 1) / a * a + a)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace lamina {
namespace {

Tensor filled(Shape shape, unsigned seed) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  for (std::size_t i = 0; i < t.size(); ++i) {
    seed = seed * 1664525U + 1013904223U;
    t.data<float>()[i] = static_cast<float>(seed >> 8) / 8388608.0F - 1.0F;
  }
  return t;
}

// A dense classifier with Adam: the whole training step as one graph.
struct Mlp {
  std::vector<VariablePtr> weights;
  VariablePtr flat, m, v, step, lr, total;
  Graph graph;

  explicit Mlp(Dim batch, Dim in = 20, Dim hidden = 33, Dim out = 7) {
    weights = {std::make_shared<Variable>("w1", filled({in, hidden}, 1)),
               std::make_shared<Variable>("b1", filled({hidden}, 2)),
               std::make_shared<Variable>("w2", filled({hidden, out}, 3)),
               std::make_shared<Variable>("b2", filled({out}, 4))};
    flat = pack(weights, "flat");
    m = std::make_shared<Variable>("m", Tensor::zeros(flat->spec()));
    v = std::make_shared<Variable>("v", Tensor::zeros(flat->spec()));
    step = std::make_shared<Variable>("step", Tensor::scalar<std::int64_t>(0));
    lr = std::make_shared<Variable>("lr", Tensor::scalar<float>(0.01F));
    total = std::make_shared<Variable>("total", Tensor::scalar<float>(0));
    Builder b(graph);
    const ValueId x = b.input({DType::f32, {batch, in}}), y = b.input({DType::i32, {batch}});
    std::vector<ValueId> w;
    for (const auto& weight : weights) w.push_back(b.variable(weight));
    const ValueId h = b.emit("relu", {b.add(b.emit("matmul", {x, w[0]}), w[1])});
    const ValueId logits = b.add(b.emit("matmul", {h, w[2]}), w[3]);
    const ValueId loss = b.emit("mean", {b.emit("sparse_softmax_cross_entropy", {logits, y})});
    b.output(loss);
    const std::vector<ValueId> d = gradients(graph, loss, w);
    graph.seam = graph.nodes.size();
    const ValueId g = b.emit("pack", d);
    const std::vector<ValueId> next = b.emit_all(
        "adam_update",
        {b.variable(flat), b.variable(m), b.variable(v), g, b.variable(lr), b.variable(step)});
    b.assign(b.variable(flat), next[0]);
    b.assign(b.variable(m), next[1]);
    b.assign(b.variable(v), next[2]);
    b.assign(b.variable(step), b.add(b.variable(step), b.scalar(DType::i64, 1)));
    b.assign(b.variable(total), b.add(b.variable(total), loss));
  }
};

struct Data {
  Tensor x, y;
  explicit Data(Dim rows, Dim in = 20, int classes = 7)
      : x(filled({rows, in}, 9)), y(Spec{DType::i32, {rows}}) {
    for (Dim i = 0; i < rows; ++i)
      y.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 5 % classes);
  }
  std::vector<Column> columns() const { return {{x.raw()}, {y.raw()}}; }
};

std::vector<float> train(ProgramOptions options, int threads, Dim rows = 50, int epochs = 3,
                         Dim hidden = 33) {
  set_num_threads(threads);
  Mlp model(16, 20, hidden), rest(rows % 16 == 0 ? 16 : rows % 16, 20, hidden);
  const Data data(rows);
  EpochOptions o;
  o.rows = rows - rows % 16;
  o.batch = 16;
  const auto program = Program::make(model.graph, options);
  for (int e = 0; e < epochs; ++e) run_epoch(program, nullptr, data.columns(), o);
  const Tensor& w = model.flat->value();
  return {w.data<float>(), w.data<float>() + w.size()};
}

TEST(Plan, FusedEqualsPlainBitwise) {
  const auto fused = train({true, true}, 1), plain = train({false, false}, 1),
             no_reuse = train({true, false}, 1);
  EXPECT_EQ(fused, plain);
  EXPECT_EQ(fused, no_reuse);
}

// An embedding whose gradient stays a list of rows, beside a dense weight.
std::vector<float> train_embedding(bool fuse) {
  const auto table = std::make_shared<Variable>("table", filled({50, 9}, 1));
  const auto scale = std::make_shared<Variable>("scale", filled({9}, 2));
  const std::vector<VariablePtr> weights{scale, table};
  const VariablePtr flat = pack(weights, "flat");
  const auto m = std::make_shared<Variable>("m", Tensor::zeros(flat->spec())),
             v = std::make_shared<Variable>("v", Tensor::zeros(flat->spec()));
  const auto step = std::make_shared<Variable>("step", Tensor::scalar<std::int64_t>(0));
  Graph g;
  Builder b(g);
  const ValueId ids = b.input({DType::i64, {8, 3}});
  const std::vector<ValueId> w{b.variable(scale), b.variable(table)};
  const ValueId loss =
      b.emit("mean", {b.emit("square", {b.mul(b.emit("embedding", {w[1], ids}), w[0])})});
  b.output(loss);
  const std::vector<ValueId> d = gradients(g, loss, w);
  g.seam = g.nodes.size();
  const std::vector<ValueId> next =
      b.emit_all("adam_update", {b.variable(flat), b.variable(m), b.variable(v), b.emit("pack", d),
                                 b.scalar(DType::f32, 0.01), b.variable(step)});
  b.assign(b.variable(flat), next[0]);
  b.assign(b.variable(m), next[1]);
  b.assign(b.variable(v), next[2]);
  b.assign(b.variable(step), b.add(b.variable(step), b.scalar(DType::i64, 1)));
  const auto program = Program::make(g, {fuse, fuse});
  EXPECT_EQ(to_text(program->graph()).find("embedding_grad(") == std::string::npos, fuse);
  for (int i = 0; i < 4; ++i) {
    Tensor x(Spec{DType::i64, {8, 3}});
    for (std::size_t k = 0; k < x.size(); ++k)
      x.data<std::int64_t>()[k] =
          static_cast<std::int64_t>((k * k + static_cast<std::size_t>(i)) % 20);
    const std::vector<Tensor> in{x};
    program->run(in);
  }
  return {flat->value().data<float>(), flat->value().data<float>() + flat->value().size()};
}

TEST(Plan, RowSparseUpdateEqualsTheDenseOneBitwise) {
  EXPECT_EQ(train_embedding(true), train_embedding(false));
}

TEST(Plan, ThreadsDoNotChangeABit) {
  const auto one = train({true, true}, 1, 160, 2, 512), two = train({true, true}, 2, 160, 2, 512),
             four = train({true, true}, 4, 160, 2, 512);
  set_num_threads(2);
  EXPECT_EQ(one, two);
  EXPECT_EQ(one, four);
}

TEST(Plan, LiveBuffersDoNotOverlap) {
  const Mlp model(16);
  const auto program = Program::make(model.graph);
  const auto placements = program->placements();
  EXPECT_GT(placements.size(), 3u);
  for (std::size_t i = 0; i < placements.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const auto &a = placements[i], &b = placements[j];
      const bool alive_together = a.first <= b.last && b.first <= a.last;
      const bool share_memory = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      EXPECT_FALSE(alive_together && share_memory) << i << " and " << j;
    }
  for (const auto& p : placements) EXPECT_LE(p.offset + p.bytes, program->arena_bytes());
  EXPECT_LT(program->arena_bytes(), Program::make(model.graph, {true, false})->arena_bytes());
}

TEST(Plan, AStepAllocatesNothing) {
  const Mlp model(16);
  const Data data(64);
  const auto program = Program::make(model.graph);
  EpochOptions o;
  o.rows = 64;
  o.batch = 16;
  const auto columns = data.columns();
  run_epoch(program, nullptr, columns, o);
  const std::size_t before = allocations;
  run_epoch(program, nullptr, columns, o);
  const std::size_t one_epoch = allocations - before;
  o.rows = 32;
  const std::size_t again = allocations;
  run_epoch(program, nullptr, columns, o);
  EXPECT_EQ(one_epoch, allocations - again);  // what an epoch needs, whatever its steps
  EXPECT_LT(one_epoch, 12u);
}

// Batches so large that all threads copy rows, from two columns in an order of their own.
TEST(Plan, GathersTheRowsOfABatch) {
  constexpr Dim kRows = 70, kBatch = 35;
  const Tensor wide = filled({kRows, 1003}, 1), narrow = filled({kRows, 3}, 2);
  std::vector<std::int64_t> order;
  for (Dim i = 0; i < kRows; ++i) order.push_back(i * 27 % kRows);
  Graph g;
  Builder b(g);
  b.output(b.scale(b.input({DType::f32, {kBatch, 1003}}), 2));
  b.output(b.scale(b.input({DType::f32, {kBatch, 3}}), 2));
  b.output(b.emit("sum", {b.emit("dense", {g.inputs[0], b.constant(filled({1003, 200}, 3))})}));
  const auto program = Program::make(g);
  for (const int threads : {1, 2, 4})
    for (const bool ordered : {false, true}) {
      set_num_threads(threads);
      Tensor wide_out(wide.spec()), narrow_out(narrow.spec());
      EpochOptions o;
      o.rows = kRows;
      o.batch = kBatch;
      o.order = ordered ? order.data() : nullptr;
      o.sinks = {wide_out.raw(), narrow_out.raw()};
      o.hook_every_batch = true;  // batches one after the other
      const std::vector<Column> columns{{wide.raw()}, {narrow.raw()}};
      run_epoch(program, nullptr, columns, o);
      for (Dim i = 0; i < kRows; ++i) {
        const Dim from = ordered ? order[static_cast<std::size_t>(i)] : i;
        for (Dim k = 0; k < 1003; ++k)
          ASSERT_EQ(wide_out.data<float>()[i * 1003 + k], 2 * wide.data<float>()[from * 1003 + k]);
        for (Dim k = 0; k < 3; ++k)
          ASSERT_EQ(narrow_out.data<float>()[i * 3 + k], 2 * narrow.data<float>()[from * 3 + k]);
      }
    }
  set_num_threads(2);
}

TEST(Plan, ABadLabelStopsBeforeTheUpdate) {
  const Mlp model(16);
  Data data(16);
  data.y.data<std::int32_t>()[3] = 7;
  const auto program = Program::make(model.graph);
  const std::vector<float> before(model.flat->value().data<float>(),
                                  model.flat->value().data<float>() + 50);
  EpochOptions o;
  o.rows = 16;
  o.batch = 16;
  try {
    run_epoch(program, nullptr, data.columns(), o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find('7'), std::string::npos) << e.what();
  }
  EXPECT_EQ(*model.step->value().data<std::int64_t>(), 0);
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(before[i], model.flat->value().data<float>()[i]);
  data.y.data<std::int32_t>()[3] = 6;
  EXPECT_NO_THROW(run_epoch(program, nullptr, data.columns(), o));  // still usable
  EXPECT_EQ(*model.step->value().data<std::int64_t>(), 1);
}

TEST(Plan, KnowsTheBoundsOfLabels) {
  const Mlp model(16);
  EXPECT_EQ(Program::make(model.graph)->input_bounds(), (std::vector<Dim>{-1, 7}));
}

TEST(Plan, SwapsVariables) {
  const auto a = std::make_shared<Variable>("a", Tensor::scalar<float>(1)),
             c = std::make_shared<Variable>("c", Tensor::scalar<float>(2));
  Graph g;
  Builder b(g);
  b.assign(b.variable(a), b.variable(c));
  b.assign(b.variable(c), b.variable(a));
  b.output(b.variable(a));
  const auto program = Program::make(g);
  const Tensor before = program->run({})[0];
  EXPECT_EQ(*a->value().data<float>(), 2);
  EXPECT_EQ(*c->value().data<float>(), 1);
  EXPECT_EQ(*before.data<float>(), 1);  // outputs are what they were when the step ran
}

TEST(Plan, FollowsAVariableThatMoves) {
  const auto v = std::make_shared<Variable>("v", Tensor::of<float>({2}, {1, 2}));
  Graph g;
  Builder b(g);
  b.output(b.neg(b.variable(v)));
  const auto program = Program::make(g);
  EXPECT_EQ(program->run({})[0].data<float>()[1], -2);
  const std::vector<VariablePtr> list{v};
  const VariablePtr flat = pack(list, "flat");
  flat->value().data<float>()[1] = 5;
  EXPECT_EQ(program->run({})[0].data<float>()[1], -5);
}

TEST(Plan, RunsInSeveralThreadsAtOnce) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {32, 64}});
  b.output(b.emit("softmax", {b.emit("matmul", {x, b.constant(filled({64, 48}, 3))})}));
  const auto program = Program::make(g);
  const std::vector<Tensor> in{filled({32, 64}, 5)};
  const Tensor expected = program->run(in)[0];
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const Tensor out = program->run(in)[0];
        for (std::size_t k = 0; k < out.size(); ++k)
          wrong += out.data<float>()[k] != expected.data<float>()[k];
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Plan, ElementwiseChainsRunAsOneStep) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {100, 100}});
  b.output(b.emit("tanh", {b.add(b.scale(b.emit("exp", {x}), 0.5), x)}));
  const auto fused = Program::make(g), plain = Program::make(g, {false, false});
  EXPECT_EQ(fused->step_count(), 1u);
  EXPECT_EQ(plain->step_count(), 4u);
  const std::vector<Tensor> in{filled({100, 100}, 8)};
  const Tensor a = fused->run(in)[0], c = plain->run(in)[0];
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data<float>()[i], c.data<float>()[i]);
}

// Operands that are repeated for every row join a chain, also in rows that no tile is a multiple
// of.
TEST(Plan, RowsOfAChainRunAsOneStep) {
  for (const Dim columns : {2, 7, 100, 1000}) {
    Graph g;
    Builder b(g);
    const Dim rows = 20000 / columns + 3;
    const ValueId x = b.input({DType::f32, {rows, columns}}),
                  row = b.input({DType::f32, {columns}}),
                  flat = b.input({DType::f32, {1, columns}});
    b.output(b.emit("relu", {b.add(b.mul(flat, b.scale(x, 3)), row)}));
    const auto fused = Program::make(g), plain = Program::make(g, {false, false});
    EXPECT_EQ(fused->step_count(), 1u);
    EXPECT_EQ(plain->step_count(), 4u);
    const std::vector<Tensor> in{filled({rows, columns}, 8), filled({columns}, 3),
                                 filled({1, columns}, 4)};
    const Tensor a = fused->run(in)[0], c = plain->run(in)[0];
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data<float>()[i], c.data<float>()[i]);
  }
}

TEST(Plan, RefusesUnknownSizes) {
  Graph g;
  Builder b(g);
  b.output(b.emit("exp", {b.input({DType::f32, {kUnknown, 3}})}));
  EXPECT_THROW(Program::make(g), ShapeError);
}

TEST(Epoch, GathersByOrderAndHandlesTheRest) {
  const auto total = std::make_shared<Variable>("total", Tensor::scalar<float>(0));
  const auto graph_for = [&](Dim rows) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, {rows, 2}});
    b.output(x);
    b.assign(b.variable(total), b.add(b.variable(total), b.emit("sum", {x})));
    return g;
  };
  const Tensor x = Tensor::of<float>({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  const std::vector<std::int64_t> order{4, 0, 3, 1, 2};
  std::vector<float> sink(10);
  EpochOptions o;
  o.rows = 5;
  o.batch = 2;
  o.order = order.data();
  o.sinks = {sink.data()};
  int hooks = 0;
  o.hook_every_batch = true;
  o.after_batch = [&](std::int64_t) { return ++hooks < 10; };
  const std::vector<Column> columns{{x.raw()}};
  const EpochResult r =
      run_epoch(Program::make(graph_for(2)), Program::make(graph_for(1)), columns, o);
  EXPECT_EQ(r.batches, 3);
  EXPECT_EQ(hooks, 3);
  EXPECT_FLOAT_EQ(*total->value().data<float>(), 45);
  EXPECT_EQ(sink, (std::vector<float>{8, 9, 0, 1, 6, 7, 2, 3, 4, 5}));
}

// A lookup and a product: changes no state, so its batches may run side by side.
Graph lookup(Dim rows) {
  Graph g;
  Builder b(g);
  const ValueId ids = b.input({DType::i32, {rows, 1}});
  Tensor table({DType::f32, {9, 4}}), w({DType::f32, {4, 300}});
  for (std::size_t i = 0; i < table.size(); ++i) table.data<float>()[i] = static_cast<float>(i) / 7;
  for (std::size_t i = 0; i < w.size(); ++i) w.data<float>()[i] = 1 / static_cast<float>(i + 1);
  const ValueId rows_of = b.emit("embedding", {b.constant(table), ids});
  b.output(b.emit("matmul", {b.reshape(rows_of, {rows, 4}), b.constant(w)}));
  return g;
}

TEST(Epoch, BatchesWithoutStateRunSideBySide) {
  constexpr Dim kRows = 1001;
  Tensor ids({DType::i32, {kRows, 1}});
  for (Dim i = 0; i < kRows; ++i) ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 9);
  const std::vector<Column> columns{{ids.raw()}};
  std::vector<std::vector<float>> results;
  for (const bool borrow : {false, true})
    for (const int threads : {1, 3}) {
      set_num_threads(threads);
      std::vector<float> sink(kRows * 300);
      std::int64_t last = -1;
      EpochOptions o;
      o.rows = kRows;
      o.batch = 4;
      o.sinks = {sink.data()};
      o.interval_ms = 0;
      o.after_batch = [&](std::int64_t batch) { return batch > last && (last = batch, true); };
      const ProgramOptions options{.borrow = borrow};
      const EpochResult r = run_epoch(Program::make(lookup(4), options),
                                      Program::make(lookup(1), options), columns, o);
      EXPECT_EQ(r.batches, 251);
      if (num_threads() > 1) {  // the environment may allow no more than one
        EXPECT_EQ(last, 250);   // the end of the last span
      }
      results.push_back(std::move(sink));
    }
  for (const auto& result : results) EXPECT_EQ(result, results[0]);

  ids.data<std::int32_t>()[905] = ids.data<std::int32_t>()[17] = 9;
  EpochOptions o;
  o.rows = 1000;
  o.batch = 4;
  try {
    run_epoch(Program::make(lookup(4)), nullptr, columns, o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("batch 4"), std::string::npos) << e.what();
  }
  set_num_threads(1);
}

TEST(Epoch, AHookStops) {
  const Mlp model(16);
  const Data data(64);
  EpochOptions o;
  o.rows = 64;
  o.batch = 16;
  o.hook_every_batch = true;
  o.after_batch = [](std::int64_t batch) { return batch < 1; };
  const EpochResult r = run_epoch(Program::make(model.graph), nullptr, data.columns(), o);
  EXPECT_TRUE(r.stopped);
  EXPECT_EQ(*model.step->value().data<std::int64_t>(), 2);
}

TEST(Epoch, ReportsTheFirstBadLossBeforeTheUpdate) {
  const Mlp model(16);
  Data data(16);
  data.x.data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  EpochOptions o;
  o.rows = 16;
  o.batch = 16;
  o.watch_loss = true;
  std::int64_t seen = -1;
  NonFinite found;
  o.on_nonfinite = [&](std::int64_t batch, std::span<const void* const> inputs) {
    seen = batch;
    EXPECT_EQ(*model.step->value().data<std::int64_t>(), 0);
    found = find_nonfinite(model.graph, inputs);
  };
  run_epoch(Program::make(model.graph), nullptr, data.columns(), o);
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(found.op, "input 0");
}

TEST(ShuffledOrder, IsARepeatablePermutation) {
  std::vector<std::int64_t> a(1000), b(1000), sorted;
  shuffled_order(1000, 7, 1, a.data());
  shuffled_order(1000, 7, 1, b.data());
  EXPECT_EQ(a, b);
  shuffled_order(1000, 7, 2, b.data());
  EXPECT_NE(a, b);
  std::sort(a.begin(), a.end());
  for (std::int64_t i = 0; i < 1000; ++i) EXPECT_EQ(a[static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace lamina
