// The product kernel by itself, every path of it, compiled into this program for the compiler's
// baseline; test_linalg runs the engine's own copies of it. Chunks run backwards here: their order
// must not matter.
#include "kernels/gemm.cpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/parallel.h"

namespace lamina {

void parallel_chunks(std::int64_t chunks, ChunkFn body) {
  for (std::int64_t i = chunks; i-- > 0;) body(i);
}

int threads_at_hand() { return 3; }

bool taking_lines_is_dear() { return true; }

void* workspace_bytes(int slot, std::size_t bytes) {
  static std::vector<std::byte> buffers[4];
  std::vector<std::byte>& buffer = buffers[slot];
  if (buffer.size() < bytes + 64) buffer.resize(bytes + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
  return buffer.data() + (64 - address % 64) % 64;
}

}  // namespace lamina

using namespace lamina;

namespace {

template <class T>
std::vector<T> random(Dim n, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& v : values) v = static_cast<T>(generator() % 2001) / 1000 - 1;
  return values;
}

struct Layout {
  bool transpose_a, transpose_b, accumulate, bias;
  Activation activation;
};

template <class T>
void expect_chains(Dim m, Dim n, Dim k, const Layout& l) {
  const Dim ldc = n + 3;
  const Dim a_row = l.transpose_a ? 1 : k, a_k = l.transpose_a ? m : 1;
  const Dim b_k = l.transpose_b ? 1 : n, b_col = l.transpose_b ? k : 1;
  const auto a = random<T>(m * k, 1), b = random<T>(k * n, 2), bias = random<T>(n, 3);
  const auto c = random<T>(m * ldc, 4);
  auto expected = c;
  for (Dim i = 0; i < m; ++i)
    for (Dim j = 0; j < n; ++j) {
      T& sum = expected[i * ldc + j];
      if (!l.accumulate) sum = 0;
      for (Dim p = 0; p < k; ++p) sum += a[i * a_row + p * a_k] * b[p * b_k + j * b_col];
      if (l.bias) sum += bias[j];
      if (l.activation == Activation::relu) sum = sum > 0 ? sum : 0;
    }
  Epilogue<T> e;
  e.bias = l.bias ? bias.data() : nullptr;
  e.activation = l.activation;
  e.accumulate = l.accumulate;
  const auto expect_equal = [&](const std::vector<T>& got, const char* path) {
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(T)), 0)
        << path << " " << m << " x " << n << " x " << k << (l.transpose_a ? " A^T" : "")
        << (l.transpose_b ? " B^T" : "") << (l.accumulate ? " accumulate" : "");
  };
  auto got = c;
  gemm_serial<T>(m, n, k, a.data(), a_row, a_k, b.data(), b_k, b_col, got.data(), ldc, e);
  expect_equal(got, "gemm_serial");
  got = c;
  gemm<T>(m, n, k, a.data(), a_row, a_k, b.data(), b_k, b_col, got.data(), ldc, e);
  expect_equal(got, "gemm");
  if (l.transpose_a) return;
  std::vector<T> memory(static_cast<std::size_t>(packed_b_size<T>(n, k)));
  pack_b<T>(n, k, b.data(), b_k, b_col, memory.data());
  got = c;
  gemm_packed_serial<T>(m, n, k, a.data(), a_row, memory.data(), got.data(), ldc, e);
  expect_equal(got, "gemm_packed_serial");
}

const Layout kLayouts[] = {
    {false, false, false, false, Activation::linear},
    {true, false, false, true, Activation::relu},
    {false, true, true, true, Activation::linear},
    {true, true, true, false, Activation::relu},
    {false, false, true, true, Activation::relu},
    {false, true, false, false, Activation::linear},
};

TEST(Gemm, EveryElementIsOneChainOverK) {
  for (const Dim m : {1, 2, 3, 4, 7, 15, 29})
    for (const Dim n : {1, 2, 3, 5, 8, 10, 17, 33, 70})
      for (const Dim k : {0, 1, 2, 7, 33, 100})
        for (const Layout& l : kLayouts) {
          expect_chains<float>(m, n, k, l);
          expect_chains<double>(m, n, k, l);
        }
}

TEST(Gemm, ChainsContinueAcrossBlocks) {
  for (const Layout& l : kLayouts) {
    expect_chains<float>(5, 20, 1100, l);   // several blocks of k
    expect_chains<float>(400, 12, 70, l);   // B packed, several blocks of rows
    expect_chains<float>(20, 600, 90, l);   // A packed, several chunks
    expect_chains<float>(3, 1200, 515, l);  // several blocks of columns and k
    expect_chains<double>(190, 150, 300, l);
    expect_chains<float>(130, 200, 140, l);  // B packed by several chunks
    expect_chains<float>(90, 64, 512, l);    // rows that are whole pages apart
    expect_chains<float>(16, 400, 40, l);    // B transposed: blocks of the transposed result
  }
  expect_chains<float>(16, 2100, 2048, kLayouts[2]);  // more of B than is packed at once
}

// Taking lines is dear here, so a result of whole lines is streamed at the levels that can.
TEST(Gemm, StreamedResultsAreTheSame) {
  const Dim m = 130, n = 64, k = 600;
  const auto a = random<float>(m * k, 1), b = random<float>(k * n, 2), bias = random<float>(n, 3);
  std::vector<float> memory(m * n + 16), plain(m * n);
  float* const c = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) / 4;
  const Epilogue<float> e{.bias = bias.data(), .activation = Activation::relu};
  EXPECT_EQ(may_stream(m, n, c, n, e), kPanel<float> >= 16);
  gemm<float>(m, n, k, a.data(), k, 1, b.data(), n, 1, c, n, e);
  gemm_serial<float>(m, n, k, a.data(), k, 1, b.data(), n, 1, plain.data(), n, e);
  EXPECT_EQ(std::memcmp(c, plain.data(), plain.size() * sizeof(float)), 0);
}

TEST(Gemm, NothingToDo) {
  float c = 7;
  gemm<float>(0, 1, 3, nullptr, 3, 1, nullptr, 1, 1, &c, 1, {});
  gemm<float>(1, 0, 3, nullptr, 3, 1, nullptr, 1, 1, &c, 1, {});
  EXPECT_EQ(c, 7);
}

TEST(Gemm, SigmoidAndTanhRunOverTheFinishedSum) {
  const Dim m = 5, n = 21, k = 9;
  const auto a = random<float>(m * k, 1), b = random<float>(k * n, 2);
  std::vector<float> plain(m * n), s(m * n), t(m * n);
  gemm<float>(m, n, k, a.data(), k, 1, b.data(), n, 1, plain.data(), n, {});
  gemm<float>(m, n, k, a.data(), k, 1, b.data(), n, 1, s.data(), n,
              {.activation = Activation::sigmoid});
  gemm<float>(m, n, k, a.data(), k, 1, b.data(), n, 1, t.data(), n,
              {.activation = Activation::tanh});
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_NEAR(s[i], 1 / (1 + std::exp(-plain[i])), 1e-6);
    EXPECT_NEAR(t[i], std::tanh(plain[i]), 1e-6);
  }
}

}  // namespace
