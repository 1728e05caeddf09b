#include "base/moves.h"

#include <atomic>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace lamina {
namespace {

std::atomic<std::uint64_t> moved{0};
std::atomic<int> stays{0};
std::atomic<bool> something_left{false};

// Never destroyed: threads may run programs to the very end of the process.
struct Places {
  std::mutex mutex;
  std::vector<std::shared_ptr<void>> left;
};
Places& places() {
  static auto* const places = new Places;
  return *places;
}

// A forked child finds the places free, whoever held them.
#if defined(__unix__) || defined(__APPLE__)
void lock_places() { places().mutex.lock(); }
void unlock_places() { places().mutex.unlock(); }
[[maybe_unused]] const int at_fork = pthread_atfork(lock_places, unlock_places, unlock_places);
#endif

// Each side writes and then reads what the other wrote: a Stay counts itself and looks for what was
// left, a Move says that something is left and counts the Stays. One of the two comes here last.
void forget_what_was_left() {
  std::vector<std::shared_ptr<void>> forgotten;  // freed without the lock
  const std::unique_lock<std::mutex> lock = hold_places();
  if (stays.load() != 0) return;  // a new one will look again when it ends
  something_left.store(false);
  forgotten.swap(places().left);
}

}  // namespace

std::uint64_t moves() { return moved.load(); }

Stay::Stay() { stays.fetch_add(1); }
Stay::~Stay() {
  if (stays.fetch_sub(1) == 1 && something_left.load()) forget_what_was_left();
}

std::unique_lock<std::mutex> hold_places() { return std::unique_lock<std::mutex>(places().mutex); }

Move::Move(std::size_t most) : lock_(hold_places()) {
  places().left.reserve(places().left.size() + most);
}

void Move::leave(std::shared_ptr<void> memory) noexcept {
  places().left.push_back(std::move(memory));
}

Move::~Move() {
  moved.fetch_add(1);
  something_left.store(true);
  lock_.unlock();
  if (stays.load() == 0) forget_what_was_left();
}

}  // namespace lamina
