#include "ops/update.h"

#include <algorithm>
#include <limits>

#include "kernels/shares.h"

namespace lamina::update {
namespace {

constexpr std::size_t kTableNumbers = 3, kProductNumbers = 3;

std::vector<std::int64_t> table_numbers(const Attrs& attrs) {
  return attr_ints(attrs, "sparse", {});
}
std::vector<std::int64_t> product_numbers(const Attrs& attrs) {
  return attr_ints(attrs, "products", {});
}

std::vector<Table> tables_of(std::span<const Spec> in, const Attrs& attrs) {
  const std::vector<std::int64_t> list = table_numbers(attrs);
  const std::size_t count = list.size() / kTableNumbers;
  const std::size_t behind = product_numbers(attrs).size() / kProductNumbers;
  std::vector<Table> tables;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t input = in.size() - 2 * (behind + count - i);
    const std::int64_t* const numbers = list.data() + kTableNumbers * i;
    tables.push_back({numbers[0], numbers[1], numbers[2], element_count(in[input].shape),
                      in[input].dtype, input});
  }
  return tables;
}

std::vector<Product> products_of(std::span<const Spec> in, const Attrs& attrs) {
  const std::vector<std::int64_t> list = product_numbers(attrs);
  const std::size_t count = list.size() / kProductNumbers;
  std::vector<Product> products;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t input = in.size() - 2 * (count - i);
    const Shape &a = in[input].shape, &b = in[input + 1].shape;
    const std::int64_t* const numbers = list.data() + kProductNumbers * i;
    const bool transpose_a = numbers[1] != 0, transpose_b = numbers[2] != 0;
    Product p{};
    p.begin = numbers[0];
    p.m = a[transpose_a ? 1 : 0];
    p.n = b[transpose_b ? 0 : 1];
    p.k = a[transpose_a ? 0 : 1];
    p.a_row = transpose_a ? 1 : p.k;
    p.a_k = transpose_a ? p.m : 1;
    p.b_k = transpose_b ? 1 : p.n;
    p.b_col = transpose_b ? p.k : 1;
    p.input = input;
    products.push_back(p);
  }
  return products;
}

// Parts of the parameter, each with where it ends.
using Parts = std::vector<std::pair<Dim, Dim>>;

void require_tables(const InferArgs& a, Parts& parts) {
  constexpr Dim kMost = std::numeric_limits<std::int32_t>::max();  // chains hold positions as int32
  for (const Table& t : tables_of(a.in, a.attrs)) {
    require_integer(a[t.input], "ids");
    require_same_dtype(a[0], a[t.input + 1]);
    if (t.begin < 0 || t.rows < 0 || t.width < 0 || t.rows > kMost || t.ids > kMost)
      throw Error("sparse has a table that is no part of a parameter");
    if (element_count(a[t.input + 1].shape) != dim_mul(t.ids, t.width))
      shape_error("sparse has a table whose rows do not match its ids");
    parts.emplace_back(t.begin, dim_add(t.begin, dim_mul(t.rows, t.width)));
  }
}

void require_products(const InferArgs& a, Parts& parts) {
  const std::vector<std::int64_t> list = product_numbers(a.attrs);
  for (std::size_t i = a.in.size() - list.size() / kProductNumbers * 2; i < a.in.size(); ++i) {
    require_rank(a[i], 2, "a factor");
    require_same_dtype(a[0], a[i]);
  }
  const std::vector<Product> products = products_of(a.in, a.attrs);
  for (std::size_t i = 0; i < products.size(); ++i) {
    const Product& p = products[i];
    const bool transpose_b = list[kProductNumbers * i + 2] != 0;
    if (a[p.input + 1].shape[transpose_b ? 1 : 0] != p.k)
      shape_error("products has factors whose inner sizes differ");
    if (p.begin < 0) throw Error("products has a matrix that is no part of a parameter");
    parts.emplace_back(p.begin, dim_add(p.begin, dim_mul(p.m, p.n)));
  }
}

}  // namespace

std::vector<Spec> infer(const InferArgs& a, const Layout& at) {
  const std::size_t tables = table_numbers(a.attrs).size(),
                    products = product_numbers(a.attrs).size();
  if (tables % kTableNumbers != 0) throw Error("sparse must hold three numbers a table");
  if (products % kProductNumbers != 0) throw Error("products must hold three numbers a matrix");
  require_count(a, at.count() + tables / kTableNumbers * 2 + products / kProductNumbers * 2);
  require_floating(a[0], "the parameter");
  for (std::size_t i = 1; i <= at.lr(); ++i) require_same_dtype(a[0], a[i]);
  for (std::size_t i = 1; i <= at.gradient(); ++i)
    if (a[i].shape != a[0].shape)
      shape_error("the parameter, its slots and its gradient must have one shape, got " +
                  to_string(a[0].shape) + " and " + to_string(a[i].shape));
  require_rank(a[at.lr()], 0, "the learning rate");
  if (at.has_step) {
    require_rank(a[at.step()], 0, "the step number");
    if (a[at.step()].dtype != DType::i64)
      type_error(std::string("the step number must be int64, got ") +
                 dtype_name(a[at.step()].dtype));
  }
  Parts parts;
  require_tables(a, parts);
  require_products(a, parts);
  std::sort(parts.begin(), parts.end());
  Dim end = 0;
  for (const auto& [from, to] : parts) {
    if (from < end) throw Error("sparse and products have parts that overlap");
    end = to;
  }
  if (end > element_count(a[0].shape))
    shape_error("sparse or products have a part beyond the parameter");
  return std::vector<Spec>(at.states, a[0]);
}

void Chains::build(const void* ids, const Table& t) const {
  std::fill_n(head, t.rows, -1);
  with_index(t.ids_dtype, [&](auto tag) {
    const auto* const id = static_cast<const decltype(tag)*>(ids);
    for (Dim i = t.ids - 1; i >= 0; --i) {
      if (id[i] < 0 || id[i] >= t.rows) continue;  // noted as a failure by the lookup
      next[i] = head[id[i]];
      head[id[i]] = static_cast<std::int32_t>(i);
    }
  });
}

namespace {

// The unit of cost is the update of one element, some third of a nanosecond.
constexpr double kMultiplyAdd = 0.05;
constexpr double kLeastChunk = 8192;
constexpr Dim kChunksPerThread = 4;
constexpr Dim kLine = 16;  // elements: pieces begin at multiples, so that no two write one line

}  // namespace

Plan::Plan(std::span<const Spec> in, const Attrs& attrs)
    : tables(tables_of(in, attrs)), products(products_of(in, attrs)) {
  struct Part {
    Dim begin, end;
    Piece::Kind kind;
    std::uint32_t index;
  };
  std::vector<Part> given;
  const Dim n = element_count(in[0].shape);
  double cost = static_cast<double>(n);
  for (std::uint32_t i = 0; i < tables.size(); ++i) {
    given.push_back({tables[i].begin, tables[i].end(), Piece::Kind::table, i});
    chains.push_back(scratch_bytes);
    scratch_bytes += Chains::bytes(tables[i]);
  }
  for (std::uint32_t i = 0; i < products.size(); ++i) {
    const Product& p = products[i];
    given.push_back({p.begin, p.end(), Piece::Kind::product, i});
    const double work = static_cast<double>(p.end() - p.begin) * static_cast<double>(p.k);
    cost += kMultiplyAdd * work;
    product_flops += 2 * work;
  }
  std::sort(given.begin(), given.end(), [](const Part& a, const Part& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const Dim team = team_size();
  const auto most = static_cast<double>(kChunksPerThread * team);
  count_ = static_cast<Dim>(std::clamp(std::floor(cost / kLeastChunk), 1.0, most));
  if (count_ > team) count_ -= count_ % team;
  for (Dim chunk = 0; chunk < count_; ++chunk) {
    Dim at = 0;
    for (const Part& part : given) {
      add_dense(at, part.begin, chunk);
      if (part.kind == Piece::Kind::table)
        add_table(part.index, chunk);
      else
        add_product(part.index, chunk);
      at = part.end;
    }
    add_dense(at, n, chunk);
    chunks.push_back(pieces.size());
  }
  for (const Part& part : given) given_elsewhere += part.end - part.begin;
}

void Plan::add(const Piece& piece) {
  if (piece.from < piece.to && piece.left < piece.right) pieces.push_back(piece);
}

void Plan::add_dense(Dim from, Dim to, Dim chunk) {
  const Dim size = to - from;
  add({Piece::Kind::dense, 0, from + share_begin(size, chunk, count_, kLine),
       from + share_begin(size, chunk + 1, count_, kLine), 0, 1});
}

void Plan::add_table(std::uint32_t index, Dim chunk) {
  const Table& t = tables[index];
  add({Piece::Kind::table, index, share_begin(t.rows, chunk, count_),
       share_begin(t.rows, chunk + 1, count_), 0, t.width});
}

// By columns if there are too few rows.
void Plan::add_product(std::uint32_t index, Dim chunk) {
  const Product& p = products[index];
  if (p.m >= 2 * count_)
    add({Piece::Kind::product, index, share_begin(p.m, chunk, count_),
         share_begin(p.m, chunk + 1, count_), 0, p.n});
  else
    add({Piece::Kind::product, index, 0, p.m, share_begin(p.n, chunk, count_, 8 * kLine),
         share_begin(p.n, chunk + 1, count_, 8 * kLine)});
}

}  // namespace lamina::update
