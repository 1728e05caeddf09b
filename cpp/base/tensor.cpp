#include "lamina/tensor.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>

#include "base/moves.h"

namespace lamina {
namespace {

constexpr std::align_val_t kAlign{64};
constexpr std::size_t kAlignBytes = 64;
// Bytes from which on malloc, too, gets fresh pages from the kernel (glibc's largest threshold).
constexpr std::size_t kLarge = std::size_t{32} << 20;

// Large blocks wait here for the next tensor of about their size. The C library gives them back to
// the kernel, and fresh pages cost more than computing what fills them. Nobody waits for the lock:
// it may have been held by another thread when this process was forked.
class KeptBlocks {
 public:
  static constexpr std::size_t kLeast = 1 << 20;

  // A kept block of at least `bytes`, which becomes its real size; null if there is none.
  void* take(std::size_t& bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return nullptr;
    for (std::size_t i = count_; i-- > 0;) {
      const Block block = blocks_[i];
      if (block.bytes < bytes || block.bytes - bytes > bytes / 4) continue;
      remove(i);
      bytes = block.bytes;
      return block.data;
    }
    return nullptr;
  }

  // Takes the block over; the oldest make room for it.
  void keep(void* data, std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (bytes > kMost || !lock.owns_lock()) return ::operator delete(data, kAlign);
    while (count_ == blocks_.size() || kept_ + bytes > kMost) {
      ::operator delete(blocks_[0].data, kAlign);
      remove(0);
    }
    blocks_[count_++] = {data, bytes};
    kept_ += bytes;
  }

 private:
  struct Block {
    void* data;
    std::size_t bytes;
  };
  void remove(std::size_t i) {
    kept_ -= blocks_[i].bytes;
    std::copy(blocks_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
              blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
              blocks_.begin() + static_cast<std::ptrdiff_t>(i));
    --count_;
  }
  static constexpr std::size_t kMost = 128 << 20;  // bytes, of all together
  std::mutex mutex_;
  std::array<Block, 16> blocks_{};  // oldest first
  std::size_t count_ = 0, kept_ = 0;
};
// Tensors may die after static destructors have run.
KeptBlocks& kept_blocks() {
  static auto* blocks = new KeptBlocks;
  return *blocks;
}

// Asks the kernel for pages of 2 MB: arenas of tens of megabytes outgrow what the processor
// remembers of where small pages are. Where the kernel declines, nothing is lost.
void advise_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  constexpr std::size_t kLeast = 8 << 20, kPage = 4096;
  if (bytes < kLeast) return;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kPage - 1) / kPage * kPage;
  madvise(reinterpret_cast<void*>(begin), bytes - kPage, MADV_HUGEPAGE);
#endif
}

// Gives back a tensor's memory, and knows whose it is.
struct Storage {
  enum class Kind : std::uint8_t { plain, kept, mapped } kind;
  std::size_t bytes;
  bool is_state = false;
  void operator()(void* p) const {
    if (kind == Kind::kept) return kept_blocks().keep(p, bytes);
#if defined(__linux__)
    if (kind == Kind::mapped) return void(munmap(p, bytes));
#endif
    ::operator delete(p, kAlign);
  }
};

std::shared_ptr<void> allocate(std::size_t bytes) {
  if (bytes >= KeptBlocks::kLeast) {
    void* p = kept_blocks().take(bytes);
    if (p == nullptr) {
      p = ::operator new(bytes, kAlign);
      advise_huge_pages(p, bytes);
    }
    return {p, Storage{Storage::Kind::kept, bytes}};
  }
  // Never of size zero, so that an empty tensor has an address too.
  return {::operator new(bytes == 0 ? kAlignBytes : bytes, kAlign),
          Storage{Storage::Kind::plain, bytes}};
}

std::shared_ptr<void> allocate_zeros(std::size_t bytes) {
#if defined(__linux__)
  if (bytes >= kLarge) {  // the kernel's pages are zero, and none is there before it is written
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    advise_huge_pages(p, bytes);
    return {p, Storage{Storage::Kind::mapped, bytes}};
  }
#endif
  std::shared_ptr<void> owner = allocate(bytes);
  std::memset(owner.get(), 0, bytes);
  return owner;
}

bool is_zero(const Tensor& t) {
  const auto* p = static_cast<const std::byte*>(t.raw());
  return t.bytes() == 0 || (p[0] == std::byte{0} && std::memcmp(p, p + 1, t.bytes() - 1) == 0);
}

}  // namespace

Tensor::Tensor() : Tensor(Spec{DType::f32, {0}}) {}

Tensor::Tensor(Spec spec)
    : spec_(std::move(spec)), size_(static_cast<std::size_t>(element_count(spec_.shape))) {
  owner_ = allocate(bytes());
  data_ = owner_.get();
}

Tensor Tensor::zeros(Spec spec) {
  const std::size_t bytes = byte_size(spec);
  std::shared_ptr<void> owner = allocate_zeros(bytes);
  void* data = owner.get();
  return wrap(std::move(spec), data, std::move(owner));
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
  if (bytes() >= kLarge && is_zero(*this)) return zeros(spec_);
  Tensor t(spec_);
  std::memcpy(t.data_, data_, bytes());
  return t;
}

void Tensor::check(DType wanted) const {
  if (wanted != spec_.dtype)
    throw TypeError(std::string("this tensor holds ") + dtype_name(spec_.dtype) + ", not " +
                    dtype_name(wanted));
}

bool Tensor::is_state() const {
  const Storage* const storage = std::get_deleter<Storage>(owner_);
  return storage != nullptr && storage->is_state;
}

namespace {

std::atomic<std::uint64_t> changes{0};

void mark_as_state(const Tensor& value) {
  std::get_deleter<Storage>(value.owner())->is_state = true;
}

// The tensor, or a copy where others than variables have its memory, too.
Tensor as_state(Tensor value) {
  const Storage* const storage = std::get_deleter<Storage>(value.owner());
  if (storage == nullptr || (!storage->is_state && value.owner().use_count() > 1))
    value = value.clone();
  mark_as_state(value);
  return value;
}

}  // namespace

std::uint64_t state_version() { return changes.load(std::memory_order_acquire); }
std::uint64_t note_state_change() { return changes.fetch_add(1, std::memory_order_acq_rel) + 1; }

Variable::Variable(std::string name, Tensor value)
    : name_(std::move(name)), value_(as_state(std::move(value))) {}

Tensor& Variable::value() {
  note_state_change();
  return value_;
}

void Variable::assign(const Tensor& value) {
  if (!(value.spec() == spec()))
    throw ShapeError("variable '" + name_ + "' is " + to_string(spec()) +
                     " and cannot take a value of " + to_string(value.spec()));
  std::memmove(value_.raw(), value.raw(), value.bytes());
  note_state_change();
}

void Variable::set_to_zero() {
  std::memset(value_.raw(), 0, value_.bytes());
  note_state_change();
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
  const Spec whole{dtype, {static_cast<Dim>(offsets.back() / item_size(dtype))}};
  const bool all_zero = std::all_of(variables.begin(), variables.end(),
                                    [](const VariablePtr& v) { return is_zero(v->value_); });
  Tensor flat = all_zero ? Tensor::zeros(whole) : Tensor(whole);
  mark_as_state(flat);
  Move move(variables.size());
  for (std::size_t i = 0; i < variables.size(); ++i) {
    auto* place = static_cast<std::byte*>(flat.raw()) + offsets[i];
    const std::size_t bytes = variables[i]->value_.bytes();
    if (!all_zero) {
      std::memcpy(place, variables[i]->value_.raw(), bytes);
      std::memset(place + bytes, 0, offsets[i + 1] - offsets[i] - bytes);
    }
    move.leave(variables[i]->value_.owner());
    variables[i]->value_ = Tensor::wrap(specs[i], place, flat.owner());
  }
  note_state_change();
  return std::make_shared<Variable>(std::move(name), std::move(flat));
}

}  // namespace lamina
