// The distinct numbers among ids, and the places where each one stands. What depends on an id alone
// is then computed once for each of them: far less often than there are places in a text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lamina/types.h"

namespace lamina {

class Distinct {
 public:
  // Bytes for `ids` numbers of [0, range); of them at most `most` are distinct.
  static std::size_t bytes(Dim ids, Dim range) {
    return static_cast<std::size_t>(2 * ids + 2 * most(ids, range) + 1 + range) *
           sizeof(std::int32_t);
  }
  static Dim most(Dim ids, Dim range) { return ids < range ? ids : range; }

  Distinct(std::byte* memory, Dim ids, Dim range)
      : slots_(reinterpret_cast<std::int32_t*>(memory)),
        next_(slots_ + ids),
        values_(next_ + ids),
        heads_(values_ + most(ids, range) + 1),
        slot_of_(heads_ + most(ids, range)),
        ids_(ids) {}

  // id(place) is the number that stands there. Slots are numbered in the order of first appearance.
  template <class Id>
  void build(const Id& id) {
    count_ = 0;
    for (Dim i = 0; i < ids_; ++i) {
      const Dim value = id(i);
      // Whatever slot_of_ held before: it counts only if that slot is taken, and by this number. So
      // the time depends on the ids and not on their range. Without a branch, for whether a number
      // is new cannot be foretold.
      const Dim known = slot_of_[value];
      const bool is_taken = static_cast<std::uint64_t>(known) < static_cast<std::uint64_t>(count_);
      const bool is_old = is_taken & (values_[is_taken ? known : 0] == value);
      const Dim slot = is_old ? known : count_;
      values_[count_] = static_cast<std::int32_t>(value);
      slot_of_[value] = slots_[i] = static_cast<std::int32_t>(slot);
      count_ += is_old ? 0 : 1;
    }
  }
  // For first() and next().
  void link_places() {
    std::fill_n(heads_, count_, -1);
    for (Dim i = ids_ - 1; i >= 0; --i) {
      next_[i] = heads_[slots_[i]];
      heads_[slots_[i]] = static_cast<std::int32_t>(i);
    }
  }

  Dim count() const { return count_; }
  Dim slot(Dim place) const { return slots_[place]; }
  Dim value(Dim slot) const { return values_[slot]; }
  // The places of a number, in order: first(slot), then next(place) until it is negative.
  Dim first(Dim slot) const { return heads_[slot]; }
  Dim next(Dim place) const { return next_[place]; }

 private:
  std::int32_t *slots_, *next_;    // by place
  std::int32_t *values_, *heads_;  // by slot; values_ has one more that counts for nothing
  std::int32_t* slot_of_;          // by number
  Dim ids_, count_ = 0;
};

}  // namespace lamina
