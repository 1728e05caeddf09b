#include "lamina/tensor.h"

#include <cstring>
#include <new>

namespace lamina {
namespace {

constexpr std::align_val_t kAlign{64};
constexpr std::size_t kAlignBytes = 64;

std::shared_ptr<void> allocate(std::size_t bytes) {
  // Never of size zero, so that an empty tensor has an address too.
  void* p = ::operator new(bytes == 0 ? kAlignBytes : bytes, kAlign);
  return {p, [](void* q) { ::operator delete(q, kAlign); }};
}

}  // namespace

Tensor::Tensor() : Tensor(Spec{DType::f32, {0}}) {}

Tensor::Tensor(Spec spec)
    : spec_(std::move(spec)), size_(static_cast<std::size_t>(element_count(spec_.shape))) {
  owner_ = allocate(bytes());
  data_ = owner_.get();
}

Tensor Tensor::zeros(Spec spec) {
  Tensor t(std::move(spec));
  std::memset(t.data_, 0, t.bytes());
  return t;
}

Tensor Tensor::wrap(Spec spec, void* data, std::shared_ptr<void> owner) {
  Tensor t;
  t.spec_ = std::move(spec);
  t.size_ = static_cast<std::size_t>(element_count(t.spec_.shape));
  t.data_ = data;
  t.owner_ = std::move(owner);
  return t;
}

Tensor Tensor::clone() const {
  Tensor t(spec_);
  std::memcpy(t.data_, data_, bytes());
  return t;
}

void Tensor::check(DType wanted) const {
  if (wanted != spec_.dtype)
    throw TypeError(std::string("this tensor holds ") + dtype_name(spec_.dtype) + ", not " +
                    dtype_name(wanted));
}

Variable::Variable(std::string name, Tensor value)
    : name_(std::move(name)), value_(std::move(value)) {}

void Variable::assign(const Tensor& value) {
  if (!(value.spec() == spec()))
    throw ShapeError("variable '" + name_ + "' is " + to_string(spec()) +
                     " and cannot take a value of " + to_string(value.spec()));
  std::memmove(value_.raw(), value.raw(), value.bytes());
}

std::vector<std::size_t> packed_offsets(std::span<const Spec> specs) {
  std::vector<std::size_t> offsets;
  std::size_t end = 0;
  for (const Spec& spec : specs) {
    offsets.push_back(end);
    end += (byte_size(spec) + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
  }
  offsets.push_back(end);
  return offsets;
}

VariablePtr pack(std::span<const VariablePtr> variables, std::string name) {
  if (variables.empty()) throw Error("pack: no variables were given");
  std::vector<Spec> specs;
  for (const VariablePtr& v : variables) {
    if (v->spec().dtype != variables[0]->spec().dtype)
      throw TypeError("pack: variable '" + v->name() + "' is " + dtype_name(v->spec().dtype) +
                      ", the others are " + dtype_name(variables[0]->spec().dtype));
    specs.push_back(v->spec());
  }
  const std::vector<std::size_t> offsets = packed_offsets(specs);
  const DType dtype = specs[0].dtype;
  Tensor flat = Tensor::zeros({dtype, {static_cast<Dim>(offsets.back() / item_size(dtype))}});
  for (std::size_t i = 0; i < variables.size(); ++i) {
    auto* place = static_cast<std::byte*>(flat.raw()) + offsets[i];
    std::memcpy(place, variables[i]->value_.raw(), variables[i]->value_.bytes());
    variables[i]->value_ = Tensor::wrap(specs[i], place, flat.owner());
  }
  return std::make_shared<Variable>(std::move(name), std::move(flat));
}

}  // namespace lamina
