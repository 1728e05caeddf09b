#include "ops/factor.h"

namespace lamina {

Matrices matrices_of(const Spec& spec) {
  const Shape& s = spec.shape;
  return {dim_product(std::span(s).first(s.size() - 2)), s[s.size() - 2], s.back()};
}

Shape with_tail(const Spec& spec, std::initializer_list<Dim> tail) {
  Shape shape(spec.shape.begin(), spec.shape.end() - 2);
  shape.insert(shape.end(), tail);
  return shape;
}

void require_matrices(const Spec& spec, const char* operand) {
  require_floating(spec, operand);
  if (spec.shape.size() < 2)
    shape_error(std::string(operand) + " needs at least two axes, got shape " +
                to_string(spec.shape));
}

void require_square(const Spec& spec, const char* operand) {
  require_matrices(spec, operand);
  if (dim_merge(spec.shape[spec.shape.size() - 2], spec.shape.back()) == -2)
    shape_error(std::string(operand) + " must hold square matrices, got shape " +
                to_string(spec.shape));
}

Dim smaller(Dim a, Dim b) { return a == kUnknown || b == kUnknown ? kUnknown : std::min(a, b); }

ValueId product(Builder& b, ValueId x, ValueId y, bool transpose_x, bool transpose_y) {
  return b.emit("matmul", {x, y}, {{"transpose_a", transpose_x}, {"transpose_b", transpose_y}});
}

ValueId transposed(Builder& b, ValueId x) {
  std::vector<std::int64_t> perm;
  const std::size_t rank = b.shape(x).size();
  for (std::size_t i = 0; i < rank; ++i) perm.push_back(static_cast<std::int64_t>(i));
  std::swap(perm[rank - 2], perm[rank - 1]);
  return b.emit("transpose", {x}, {{"perm", perm}});
}

ValueId triangle(Builder& b, ValueId x, bool lower, int k) {
  return b.emit(lower ? "tril" : "triu", {x}, {{"k", std::int64_t{k}}});
}

ValueId with_axes(Builder& b, ValueId x, int before_last, int after_last) {
  Shape shape = b.shape(x);
  shape.insert(shape.end() - (before_last > 0 ? 1 : 0), static_cast<std::size_t>(before_last), 1);
  shape.insert(shape.end(), static_cast<std::size_t>(after_last), 1);
  return b.reshape(x, shape);
}

ValueId identity_mask(Builder& b, Dim n) {
  Tensor mask = Tensor::zeros(Spec{DType::boolean, {n, n}});
  for (Dim i = 0; i < n; ++i) mask.data<bool>()[i * n + i] = true;
  return b.constant(std::move(mask));
}

ValueId sum_or(Builder& b, ValueId sum, ValueId term) {
  if (sum == kNoValue) return term;
  return term == kNoValue ? sum : b.add(sum, term);
}

}  // namespace lamina
