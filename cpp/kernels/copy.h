// Copies of runs of bytes that lie apart: most are short, and a call of memcpy would cost more than
// the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/vec.h"

namespace lamina::kernels {

LAMINA_INLINE void copy_run(void* to, const void* from, std::size_t bytes) {
  constexpr std::size_t kVec = kVecBytes, kLong = 2048;
  if (bytes < kVec) return copy_few<std::uint8_t>(to, from, static_cast<int>(bytes));
  if (bytes >= kLong) {
    std::memcpy(to, from, bytes);
    return;
  }
  auto* const d = static_cast<std::uint8_t*>(to);
  const auto* const s = static_cast<const std::uint8_t*>(from);
  for (std::size_t i = 0; i + kVec <= bytes; i += kVec) store(d + i, load(s + i));
  // The rest with a few of those before it: the sides do not overlap.
  if (bytes % kVec != 0) store(d + bytes - kVec, load(s + bytes - kVec));
}

// Runs of equal length, each side's a fixed number of bytes apart.
inline void copy_runs(std::byte* to, std::size_t to_step, const std::byte* from,
                      std::size_t from_step, std::size_t runs, std::size_t bytes) {
  if (bytes == kVecBytes) {  // a few channels: no loop in the loop
    for (std::size_t i = 0; i < runs; ++i)
      copy_run(to + i * to_step, from + i * from_step, kVecBytes);
    return;
  }
  for (std::size_t i = 0; i < runs; ++i) copy_run(to + i * to_step, from + i * from_step, bytes);
}

}  // namespace lamina::kernels
