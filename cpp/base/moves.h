// Variables move when they are packed, and plans hold the addresses where they lay.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

namespace lamina {

// How often variables have moved. Addresses that were looked up at this count, by somebody who has
// begun a Stay, hold numbers of these variables for as long as the Stay lives.
std::uint64_t moves();

// While one lives, memory that variables moved out of stays as it is.
class Stay {
 public:
  Stay();
  ~Stay();
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;
};

// Held by whoever looks where variables lie while others may move them.
std::unique_lock<std::mutex> hold_places();

// Variables move while one lives; it holds the places.
class Move {
 public:
  explicit Move(std::size_t most);  // so many of them
  ~Move();
  Move(const Move&) = delete;
  Move& operator=(const Move&) = delete;
  void leave(std::shared_ptr<void> memory) noexcept;

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace lamina
