// Tensor: numbers in aligned, shared memory. Variable: state that a step reads and assigns.
// Nothing in cpp/include mentions Eigen: the alignment and the inline code of Eigen's types depend
// on compiler flags, which differ between the levels of the engine and from the includer's.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lamina/types.h"

namespace lamina {

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};

// Row-major and contiguous. Copying a Tensor shares the memory.
class LAMINA_API Tensor {
 public:
  Tensor();                    // float32, shape (0,)
  explicit Tensor(Spec spec);  // uninitialised, 64-byte aligned
  static Tensor zeros(Spec spec);
  // Memory of somebody else, kept alive by `owner`; the data may have any alignment.
  static Tensor wrap(Spec spec, void* data, std::shared_ptr<void> owner);
  template <class T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    Tensor t(Spec{DTypeOf<T>::value, std::move(shape)});
    if (values.size() != t.size())
      throw ShapeError("Tensor::of: the values do not fill " + to_string(t.spec()));
    for (std::size_t i = 0; i < values.size(); ++i) t.data<T>()[i] = values[i];
    return t;
  }
  template <class T>
  static Tensor scalar(T value) {
    Tensor t(Spec{DTypeOf<T>::value, {}});
    t.data<T>()[0] = value;
    return t;
  }

  const Spec& spec() const { return spec_; }
  const Shape& shape() const { return spec_.shape; }
  DType dtype() const { return spec_.dtype; }
  std::size_t size() const { return size_; }  // elements
  std::size_t bytes() const { return size_ * item_size(spec_.dtype); }
  void* raw() { return data_; }
  const void* raw() const { return data_; }
  template <class T>
  T* data() {
    check(DTypeOf<T>::value);
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* data() const {
    check(DTypeOf<T>::value);
    return static_cast<const T*>(data_);
  }
  const std::shared_ptr<void>& owner() const { return owner_; }
  Tensor clone() const;
  // Does the memory belong to a Variable? Only those who say so may write into it.
  bool is_state() const;

 private:
  void check(DType wanted) const;  // throws TypeError when the tensor holds another dtype
  Spec spec_;
  std::size_t size_ = 0;
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

// A named piece of state with a fixed spec: a weight, a moving statistic, an optimizer slot, a
// metric's sum, a random counter, the learning rate, the step number. Programs keep what they
// compute from variables alone, so every change is counted.
class LAMINA_API Variable {
 public:
  Variable(std::string name, Tensor value);
  const std::string& name() const { return name_; }
  const Spec& spec() const { return value_.spec(); }
  // To write into: counts as a change that follows at once. Who writes again asks again.
  Tensor& value();
  const Tensor& value() const { return value_; }
  void assign(const Tensor& value);  // copies; throws unless the spec is the same
  void set_to_zero();

 private:
  friend LAMINA_API std::shared_ptr<Variable> pack(std::span<const std::shared_ptr<Variable>>,
                                                   std::string);
  std::string name_;
  Tensor value_;
};
using VariablePtr = std::shared_ptr<Variable>;

// How often the numbers of variables, of any of them, have been changed: a change is counted when
// it is complete. What was computed after the count was read is up to date while the count stays.
LAMINA_API std::uint64_t state_version();
LAMINA_API std::uint64_t note_state_change();  // the new count

// Byte offset of each variable in the buffer that pack() makes, each 64-byte aligned; last: the
// total.
LAMINA_API std::vector<std::size_t> packed_offsets(std::span<const Spec> specs);

// Moves variables of one dtype into one contiguous buffer (values kept) and returns the whole of
// it as one flat variable. The optimizer sweeps it in one pass. Gaps are zero.
LAMINA_API VariablePtr pack(std::span<const VariablePtr> variables, std::string name);

}  // namespace lamina
