#include <limits>

#include "kernel_testing.h"

using namespace lamina;

namespace {

Attr whole(Dim i) { return i; }
using I32 = std::int32_t;

TEST(Index, GathersAlongAnyAxis) {
  for (const Dim axis : {0, 1, 2}) {
    const Tensor x = arange_like({4, 5, 6}), ids = integers({2, 3}, 4, 7);
    const Tensor y = run_one("gather", {x, ids}, {{"axis", axis}});
    const Dim sizes[] = {4, 5, 6}, rows = sizes[axis];
    Dim outer = 1, inner = 1;
    for (Dim i = 0; i < axis; ++i) outer *= sizes[i];
    for (Dim i = axis + 1; i < 3; ++i) inner *= sizes[i];
    for (Dim o = 0; o < outer; ++o)
      for (Dim k = 0; k < 6; ++k)
        for (Dim c = 0; c < inner; ++c)
          ASSERT_EQ(y.data<double>()[(o * 6 + k) * inner + c],
                    x.data<double>()[(o * rows + ids.data<I32>()[k]) * inner + c]);
  }
}

TEST(Index, EmbeddingGradientAddsInTheOrderOfTheIds) {
  const Dim rows = 3000, n = 40, count = 5000;
  const Tensor ids = integers({count}, rows, 3), dy = f32(uniform({count, n}));
  const Attrs attrs{{"rows", rows}};
  const Tensor d = run_one("embedding_grad", {ids, dy}, attrs);
  std::vector<float> want(static_cast<std::size_t>(rows * n), 0.f);
  for (Dim i = 0; i < count; ++i)
    for (Dim c = 0; c < n; ++c)
      want[static_cast<std::size_t>(ids.data<I32>()[i] * n + c)] += dy.data<float>()[i * n + c];
  EXPECT_EQ(std::memcmp(d.raw(), want.data(), d.bytes()), 0);
  expect_same_for_all_threads("embedding_grad", {ids, dy}, attrs);
}

TEST(Index, OutOfRangeIsAnErrorThatNamesTheIndex) {
  const auto message = [](std::string_view op, const std::vector<Tensor>& in,
                          const Attrs& attrs = {}) {
    try {
      run_op(op, in, attrs);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  const Tensor table = uniform({5, 3}), high = Tensor::of<I32>({2}, {1, 5}),
               low = Tensor::of<std::int64_t>({2}, {1, -1});
  EXPECT_EQ(message("embedding", {table, high}), "embedding: index 5 is out of range");
  EXPECT_EQ(message("gather", {table, low}), "gather: index -1 is out of range");
  EXPECT_EQ(message("gather_grad", {high, uniform({2, 3})}, {{"rows", whole(5)}}),
            "gather_grad: index 5 is out of range");
  EXPECT_EQ(message("take_along_axis", {table, Tensor::of<I32>({5, 1}, {0, 1, 2, 2, 9})}),
            "take_along_axis: index 9 is out of range");
  EXPECT_EQ(message("scatter_add", {Tensor::of<I32>({1, 1}, {7}), uniform({1, 3})},
                    {{"shape", Shape{5, 3}}}),
            "scatter_add: index 7 is out of range");
  EXPECT_THROW(infer("gather", std::vector<Spec>{table.spec(), table.spec()}, {}), TypeError);
}

TEST(Index, OneHotIgnoresWhatIsOutOfRange) {
  const Tensor ids = Tensor::of<I32>({4}, {2, 0, -1, 3});
  const Tensor y = run_one("one_hot", {ids}, {{"classes", whole(3)}});
  const float want[] = {0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(y.shape(), (Shape{4, 3}));
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(y.data<float>()[i], want[i]);
  const Tensor first =
      run_one("one_hot", {ids},
              {{"classes", whole(3)}, {"axis", whole(0)}, {"dtype", std::string("int64")}});
  EXPECT_EQ(first.shape(), (Shape{3, 4}));
  for (std::size_t i = 0; i < 12; ++i)
    EXPECT_EQ(first.data<std::int64_t>()[i % 3 * 4 + i / 3], static_cast<std::int64_t>(want[i]));
}

TEST(Index, OrdersAreStableAndKnowNan) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::of<float>({6}, {3, 1, kNan, 3, 1, 2});
  const Tensor up = run_one("argsort", {x}), down = run_one("argsort", {x}, {{"descending", true}});
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(up.data<std::int64_t>()[i], ((std::int64_t[]){1, 4, 5, 0, 3, 2})[i]);
    EXPECT_EQ(down.data<std::int64_t>()[i], ((std::int64_t[]){2, 0, 3, 5, 1, 4})[i]);
  }
  const auto top =
      run_op("top_k", std::vector<Tensor>{Tensor::of<float>({2, 4}, {1, 9, 9, 4, 5, 5, 5, 7})},
             {{"k", whole(2)}});
  const float values[] = {9, 9, 7, 5};
  const I32 where[] = {1, 2, 3, 0};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(top[0].data<float>()[i], values[i]);
    EXPECT_EQ(top[1].data<I32>()[i], where[i]);
  }
  const Tensor columns =
      run_one("argsort", {Tensor::of<float>({2, 2}, {4, 1, 3, 2})}, {{"axis", whole(0)}});
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(columns.data<std::int64_t>()[i], ((std::int64_t[]){1, 0, 0, 1})[i]);
  expect_same_for_all_threads("argsort", {f32(uniform({50, 700}))});
  EXPECT_NE(refusal("top_k", {{2, 3}}, {{"k", whole(4)}}).find("k must be between 0"),
            std::string::npos);
}

TEST(Index, ScatterUndoesGather) {
  const Tensor ids = Tensor::of<I32>({3, 2}, {0, 1, 2, 2, 0, 1}), updates = arange_like({3}, 1);
  const Tensor y = run_one("scatter_add", {ids, updates}, {{"shape", Shape{3, 3}}});
  const double want[] = {0, 4, 0, 0, 0, 0, 0, 0, 2};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(y.data<double>()[i], want[i]);
  const Tensor back = run_one("gather_nd", {y, ids});
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(back.data<double>()[i], ((double[]){4, 2, 4})[i]);
}

}  // namespace
